// CTC: no frame depends on another. Graves et al., "Connectionist temporal classification", 2006.
import { likeliest, rowsOf, written } from "./common.mjs";

export { loadGraph as load } from "./common.mjs";

/** The text of a clip: the likeliest label of each frame, repetitions once, without blanks. */
export async function recognise(ort, { session, labels, frontend }, waveform) {
  const kept = [];
  let last = -1;
  const rows = rowsOf(ort, session, "log_probs", "output_lengths", waveform, frontend.sample_rate);
  for await (const row of rows) {
    const label = likeliest(row);
    if (label !== last) kept.push(label);
    last = label;
  }
  return written(labels, kept);
}
