// A transducer: Graves, "Sequence transduction with recurrent neural networks", 2012; with durations
// Xu et al., "Efficient sequence transduction by jointly predicting tokens and durations", 2023.
import { likeliest, rowsOf, run, whole, written } from "./common.mjs";

export { loadGraphs as load } from "./common.mjs";

const zeros = (ort, { type, shape }) => {
  const sizes = shape.map((n) => (n === "batch" ? 1 : n));
  const count = sizes.reduce((product, n) => product * n, 1);
  const values = type === "int64" ? new BigInt64Array(count) : new Float32Array(count);
  return new ort.Tensor(type, values, sizes);
};

/** The likeliest label in every frame, until it is the blank. */
export async function recognise(ort, { sessions, labels, frontend, decoding }, waveform) {
  const reader = sessions.predictor ?? sessions.decoder;
  const joiner = sessions.joiner;
  const kept = decoding.graphs.find(({ role }) => role === "predictor" || role === "decoder").states;
  let states = Object.fromEntries(kept.map((state) => [state.input, zeros(ort, state)]));
  const rate = frontend.sample_rate;
  const frames = [];
  for await (const row of rowsOf(ort, sessions.encoder, "encoded", "encoded_lengths", waveform, rate))
    frames.push(row);
  const count = labels.tokens.length;
  const tokens = [];
  let last = decoding.start;
  let read = null; // what the predictor makes of the last label, until there is another
  for (let at = 0, added = 0; at < frames.length; ) {
    const feed = {
      encoded: new ort.Tensor("float32", frames[at], [1, 1, frames[at].length]),
      frames: whole(ort, [0]),
      tokens: whole(ort, last, [1, last.length]),
      ...states,
    };
    if (joiner) read ??= await run(reader, feed);
    else read = await run(reader, feed);
    const found = (joiner ? await run(joiner, { ...feed, ...read }) : read).log_probs.data;
    const label = likeliest(found, 0, count);
    let duration = decoding.durations ? likeliest(found, count) : 0;
    const blank = label === labels.blank;
    if (!blank) {
      tokens.push(label);
      last = [...last, label].slice(-last.length);
      states = Object.fromEntries(kept.map((state) => [state.input, read[state.output]]));
      added += 1;
      read = null;
    }
    if (duration === 0 && (blank || added === decoding.most_per_frame)) duration = 1;
    if (duration) added = 0;
    at += duration;
  }
  return written(labels, tokens);
}
