// Classes of whole clips, as of a keyword spotter.
import { likeliest, loadGraphs, run, whole, written } from "./common.mjs";

export const load = loadGraphs;

/** The likeliest class of a clip; one of more than 40 seconds is heard in pieces of 30. */
export async function recognise(ort, { sessions, labels, frontend }, waveform) {
  const rate = frontend.sample_rate;
  const total = new Float64Array(labels.tokens.length);
  for (let start = 0; start < waveform.length; ) {
    const size = waveform.length - start;
    const part = waveform.slice(start, start + (size <= 40 * rate ? size : 30 * rate));
    const { log_probs } = await run(sessions.model, {
      waveform: new ort.Tensor("float32", part, [1, part.length]),
      lengths: whole(ort, [part.length]),
    });
    log_probs.data.forEach((score, place) => (total[place] += part.length * Math.exp(score)));
    start += part.length;
  }
  return written(labels, [likeliest(total)]);
}
