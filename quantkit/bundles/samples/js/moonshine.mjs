// Moonshine: Jeffries et al., "Moonshine", 2024.
import { loadGraphs, rounded, run, written } from "./common.mjs";
import { writeTokens } from "./tokens.mjs";

export const load = loadGraphs;

/** The text of a clip, which is cut every 30 seconds where it is longer than 40. */
export async function recognise(ort, { sessions, labels, frontend, decoding }, waveform) {
  const rate = frontend.sample_rate;
  const size = waveform.length <= 40 * rate ? waveform.length : 30 * rate;
  const rules = { end: decoding.end, never: decoding.suppressed, notFirst: decoding.suppressed_first };
  const tokens = [];
  for (let start = 0; start < waveform.length; start += size) {
    const part = waveform.slice(start, start + size);
    if (part.length < frontend.window) break;
    const cross = await run(sessions.encoder, {
      waveform: new ort.Tensor("float32", part, [1, part.length]),
    });
    const longest = Math.max(1, rounded((decoding.tokens_per_second * part.length) / rate));
    tokens.push(...(await writeTokens(ort, sessions.decoder, cross, decoding.prompt, longest, rules)));
  }
  return written(labels, tokens);
}
