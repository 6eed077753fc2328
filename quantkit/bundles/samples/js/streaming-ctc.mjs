// CTC that hears a clip chunk by chunk.
import { runsOf } from "./chunks.mjs";
import { likeliest, written } from "./common.mjs";

export { loadGraphs as load } from "./common.mjs";

/** The text of a clip: the likeliest label of each row as the chunks come in, repetitions once. */
export async function recognise(ort, model, waveform) {
  const { labels, decoding } = model;
  const tokens = [];
  let late = decoding.delay;
  let last = labels.blank;
  for await (const made of runsOf(ort, model, waveform)) {
    const [, rows, width] = made.log_probs.dims;
    const own = made.output_lengths ? Number(made.output_lengths.data[0]) : rows;
    const begin = Math.min(late, rows);
    late -= begin;
    for (let row = begin; row < Math.min(begin + own, rows); row++) {
      const label = likeliest(made.log_probs.data, row * width, (row + 1) * width);
      if (label !== last && label !== labels.blank) tokens.push(label);
      last = label;
    }
  }
  return written(labels, tokens);
}
