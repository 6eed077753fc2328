// A transducer that hears a clip chunk by chunk.
import { runsOf } from "./chunks.mjs";
import { written } from "./common.mjs";
import { labelsOf } from "./labels.mjs";

export { loadGraphs as load } from "./common.mjs";

/** The text of a clip. */
export async function recognise(ort, model, waveform) {
  const frames = [];
  for await (const made of runsOf(ort, model, waveform)) {
    const [, rows, width] = made.encoded.dims;
    const own = made.encoded_lengths ? Number(made.encoded_lengths.data[0]) : rows;
    for (let row = 0; row < Math.min(own, rows); row++)
      frames.push(made.encoded.data.slice(row * width, (row + 1) * width));
  }
  return written(model.labels, await labelsOf(ort, model, frames));
}
