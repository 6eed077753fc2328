// The labels of a transducer: Graves, "Sequence transduction with recurrent neural networks", 2012;
// with durations Xu et al., "Efficient sequence transduction by jointly predicting tokens and
// durations", 2023.
import { first, likeliest, run, whole } from "./common.mjs";

/** The likeliest label in every frame, until it is the blank. */
export async function labelsOf(ort, { sessions, labels, decoding }, frames) {
  const reader = sessions.predictor ?? sessions.decoder;
  const joiner = sessions.joiner;
  const kept = decoding.graphs.find(({ role }) => role === "predictor" || role === "decoder").states;
  let states = Object.fromEntries(kept.map((state) => [state.input, first(ort, state)]));
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
  return tokens;
}
