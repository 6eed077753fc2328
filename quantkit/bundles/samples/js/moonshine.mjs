// Moonshine: Jeffries et al., "Moonshine", 2024.
import { loadGraphs } from "./common.mjs";
import { writeTexts } from "./texts.mjs";

export const load = loadGraphs;

/** The text of a clip. */
export const recognise = (ort, model, waveform) => writeTexts(ort, model, waveform, model.decoding.prompt);
