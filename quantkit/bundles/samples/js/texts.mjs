// Texts of an encoder that hears clips of any length, and a decoder that writes them.
import { rounded, run, written } from "./common.mjs";
import { writeTokens } from "./tokens.mjs";

/** The text of a clip after a prompt; the clip is cut every 30 seconds where it is longer than 40. */
export async function writeTexts(ort, { sessions, labels, frontend, decoding }, waveform, prompt) {
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
    const wanted = rounded((decoding.tokens_per_second * part.length) / rate) + decoding.tokens_more;
    const longest = Math.max(1, Math.min(wanted, decoding.longest ?? wanted));
    tokens.push(...(await writeTokens(ort, sessions.decoder, cross, prompt, longest, rules)));
  }
  return written(labels, tokens);
}
