// ASG: transitions between labels count, and some labels repeat a letter. Collobert et al.,
// "Wav2Letter", 2016.
import { likeliest, rowsOf, written } from "./common.mjs";

export { loadGraph as load } from "./common.mjs";

/** The label of each frame on the best path through all of them (Viterbi). */
async function bestPath(rows, transitions) {
  const before = [];
  let score = null;
  for await (const row of rows) {
    if (!score) {
      score = Float64Array.from(row);
      continue;
    }
    const from = new Uint16Array(row.length);
    const next = Float64Array.from(row, (value, label) => {
      for (let i = 1; i < row.length; i++)
        if (score[i] + transitions[i][label] > score[from[label]] + transitions[from[label]][label])
          from[label] = i;
      return score[from[label]] + transitions[from[label]][label] + value;
    });
    before.push(from);
    score = next;
  }
  const path = [likeliest(score)];
  for (const from of before.reverse()) path.push(from[path.at(-1)]);
  return path.reverse();
}

/** The text of a clip. */
export async function recognise(ort, { session, labels, frontend }, waveform) {
  const { repeats, transitions } = labels.asg;
  const silent = new Set(labels.silent);
  const rows = rowsOf(ort, session, "log_probs", "output_lengths", waveform, frontend.sample_rate);
  const kept = [];
  let last = -1;
  for (const label of await bestPath(rows, transitions)) {
    if (label !== last && !silent.has(label)) {
      if (!repeats.includes(label)) kept.push(label);
      else if (last >= 0 && !silent.has(last)) {
        for (let n = 0; n <= repeats.indexOf(label); n++) kept.push(last);
      }
    }
    last = label;
  }
  return written(labels, kept);
}
