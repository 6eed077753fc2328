// A transducer that hears whole clips.
import { rowsOf, written } from "./common.mjs";
import { labelsOf } from "./labels.mjs";

export { loadGraphs as load } from "./common.mjs";

/** The text of a clip. */
export async function recognise(ort, model, waveform) {
  const rate = model.frontend.sample_rate;
  const rows = rowsOf(ort, model.sessions.encoder, "encoded", "encoded_lengths", waveform, rate);
  const frames = [];
  for await (const row of rows) frames.push(row);
  return written(model.labels, await labelsOf(ort, model, frames));
}
