// Canary: Puvvada et al., "Less is more", 2024.
import { loadGraphs } from "./common.mjs";
import { writeTexts } from "./texts.mjs";

const LANGUAGE = ""; // code of what is spoken, such as "de"
const TARGET = ""; // of what to write, where it is another

export const load = loadGraphs;

/** The text of a clip. */
export function recognise(ort, model, waveform) {
  const { prompt, languages, language, source, target } = model.decoding;
  const spoken = LANGUAGE || language;
  const asked = [...prompt];
  asked[source] = languages[spoken];
  asked[target] = languages[TARGET || spoken];
  return writeTexts(ort, model, waveform, asked);
}
