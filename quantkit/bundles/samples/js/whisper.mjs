// Whisper: Radford et al., "Robust speech recognition via large-scale weak supervision", 2022.
import { loadGraphs, run, written } from "./common.mjs";
import { writeTokens } from "./tokens.mjs";

export const load = loadGraphs;

const LANGUAGE = ""; // a code such as "de"; empty: what the model finds

/** Power of each bin, (window / 2 + 1,), of a window; a sum with its mirror image halves the work. */
function fourier(window) {
  const half = window / 2;
  const cosine = Float64Array.from({ length: window }, (_, i) => Math.cos((2 * Math.PI * i) / window));
  const sine = Float64Array.from({ length: window }, (_, i) => Math.sin((2 * Math.PI * i) / window));
  const even = new Float64Array(half);
  const odd = new Float64Array(half);
  return (slice, power) => {
    for (let n = 1; n < half; n++) {
      even[n] = slice[n] + slice[window - n];
      odd[n] = slice[n] - slice[window - n];
    }
    for (let k = 0; k <= half; k++) {
      let real = slice[0] + (k % 2 ? -slice[half] : slice[half]);
      let imaginary = 0;
      for (let n = 1, at = k; n < half; n++, at = (at + k) % window) {
        real += even[n] * cosine[at];
        imaginary += odd[n] * sine[at];
      }
      power[k] = real * real + imaginary * imaginary;
    }
  };
}

/** Triangles of Slaney's scale: for each band its first bin and its weights. */
function melBands(count, window, rate) {
  const top = 15 + (27 * Math.log(rate / 2000)) / Math.log(6.4);
  const edges = Array.from({ length: count + 2 }, (_, i) => {
    const mel = (i * top) / (count + 1);
    return mel < 15 ? (mel * 200) / 3 : 1000 * 6.4 ** ((mel - 15) / 27);
  });
  return Array.from({ length: count }, (_, band) => {
    const [low, middle, high] = edges.slice(band, band + 3);
    const weights = Array.from({ length: window / 2 + 1 }, (_, bin) => {
      const hertz = (bin * rate) / window;
      const height = Math.min((hertz - low) / (middle - low), (high - hertz) / (high - middle));
      return (Math.max(0, height) * 2) / (high - low);
    });
    const first = Math.max(0, weights.findIndex((weight) => weight > 0));
    return { first, weights: weights.slice(first, weights.findLastIndex((weight) => weight > 0) + 1) };
  });
}

/** (1, bands, frames) of 30 seconds: the logarithm of the power in bands. */
function spectrogram(ort, waveform, settings) {
  const { sample_rate: rate, window, hop, mel_bands: count } = settings;
  const frames = Math.floor((settings.window_seconds * rate) / hop);
  const clip = new Float64Array(frames * hop + window);
  clip.set(waveform, window / 2);
  for (let i = 0; i < window / 2; i++) clip[i] = clip[window - i];
  const hann = Float64Array.from({ length: window }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / window));
  const transform = fourier(window);
  const bands = melBands(count, window, rate);
  const slice = new Float64Array(window);
  const power = new Float64Array(window / 2 + 1);
  const found = new Float64Array(count * frames);
  let top = -Infinity;
  for (let frame = 0; frame < frames; frame++) {
    for (let i = 0; i < window; i++) slice[i] = clip[frame * hop + i] * hann[i];
    transform(slice, power);
    bands.forEach(({ first, weights }, band) => {
      const sum = weights.reduce((total, weight, i) => total + weight * power[first + i], 0);
      const value = Math.log10(Math.max(sum, 1e-10));
      found[band * frames + frame] = value;
      top = Math.max(top, value);
    });
  }
  const features = Float32Array.from(found, (value) => (Math.max(value, top - 8) + 4) / 4);
  return new ort.Tensor("float32", features, [1, count, frames]);
}

/** The text of a clip, which is cut every 30 seconds. */
export async function recognise(ort, { sessions, labels, frontend, decoding }, waveform) {
  const size = frontend.window_seconds * frontend.sample_rate;
  const { decoder } = sessions;
  const { end, languages } = decoding;
  const rules = { end, never: decoding.suppressed, notFirst: decoding.suppressed_first };
  const tokens = [];
  for (let start = 0; start < waveform.length; start += size) {
    const part = waveform.slice(start, start + size);
    if (part.length < frontend.window) break;
    const cross = await run(sessions.encoder, { features: spectrogram(ort, part, frontend) });
    let prompt = decoding.prompt;
    if (languages && Object.keys(languages).length) {
      const known = new Set(Object.values(languages));
      const others = labels.tokens.map((_, i) => i).filter((i) => !known.has(i));
      const only = { end, never: [], notFirst: others };
      const spoken =
        languages[LANGUAGE || decoding.language] ||
        (await writeTokens(ort, decoder, cross, prompt.slice(0, 1), 1, only))[0];
      prompt = [prompt[0], spoken, ...prompt.slice(1)];
    }
    tokens.push(...(await writeTokens(ort, decoder, cross, prompt, decoding.longest, rules)));
  }
  return written(labels, tokens);
}
