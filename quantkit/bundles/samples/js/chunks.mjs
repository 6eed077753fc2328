// How a clip is heard chunk by chunk: features of log-mel, of Kaldi's filter bank or of NeMo's
// spectrogram, normalised by what was heard so far, and the states that go from one chunk to the next.
import { first, run, whole } from "./common.mjs";

/** Power of each bin, (size / 2 + 1,), of a slice; `size` is a power of two. */
function fourier(size) {
  const cosine = Float64Array.from({ length: size / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / size));
  const sine = Float64Array.from({ length: size / 2 }, (_, i) => Math.sin((2 * Math.PI * i) / size));
  const bits = Math.log2(size);
  const turned = Uint32Array.from({ length: size }, (_, i) => {
    let found = 0;
    for (let bit = 0; bit < bits; bit++) found |= ((i >> bit) & 1) << (bits - 1 - bit);
    return found;
  });
  const real = new Float64Array(size);
  const imaginary = new Float64Array(size);
  return (slice, power) => {
    imaginary.fill(0);
    for (let i = 0; i < size; i++) real[i] = turned[i] < slice.length ? slice[turned[i]] : 0;
    for (let length = 2; length <= size; length *= 2) {
      const step = size / length;
      for (let start = 0; start < size; start += length)
        for (let i = 0; i < length / 2; i++) {
          const [low, high] = [start + i, start + i + length / 2];
          const [c, s] = [cosine[i * step], -sine[i * step]];
          const a = real[high] * c - imaginary[high] * s;
          const b = real[high] * s + imaginary[high] * c;
          real[high] = real[low] - a;
          imaginary[high] = imaginary[low] - b;
          real[low] += a;
          imaginary[low] += b;
        }
    }
    for (let k = 0; k <= size / 2; k++) power[k] = real[k] ** 2 + imaginary[k] ** 2;
  };
}

/** Edges of bands on HTK's mel scale and that scale; NeMo's are Slaney's, and the bands of equal area. */
function melScale({ kind, sample_rate: rate, low_hz, high_hz }) {
  if (!isNemo(kind)) {
    const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
    return { from: mel(low_hz), to: mel(high_hz), edge: (value) => value, mel };
  }
  const step = Math.log(6.4) / 27;
  const hertz = (mel) => (mel < 15 ? (mel * 200) / 3 : 1000 * Math.exp(step * (mel - 15)));
  const to = Math.min((rate * 3) / 400, 15 + Math.log(Math.max(rate / 2000, 1)) / step);
  return { from: 0, to, edge: hertz, mel: (value) => value };
}

/** Triangles, (bands,) of weights of all bins. */
function melBands(settings) {
  const { fft_size: size, sample_rate: rate, mel_bands: count, kind } = settings;
  const { from, to, edge, mel } = melScale(settings);
  const edges = Array.from({ length: count + 2 }, (_, i) => edge(from + ((to - from) * i) / (count + 1)));
  return Array.from({ length: count }, (_, band) => {
    const area = isNemo(kind) ? 2 / (edges[band + 2] - edges[band]) : 1;
    return Float64Array.from({ length: size / 2 + 1 }, (_, bin) => {
      const at = mel((bin * rate) / size);
      const rising = (at - edges[band]) / (edges[band + 1] - edges[band]);
      const falling = (edges[band + 2] - at) / (edges[band + 2] - edges[band + 1]);
      return area * Math.max(0, Math.min(rising, falling));
    });
  });
}

/** Silence at both ends; each sample without 0.97 of the one before. */
function emphasised(waveform, ahead, behind) {
  const samples = new Float64Array(ahead + waveform.length + behind);
  waveform.forEach((value, i) => (samples[ahead + i] = i ? value - 0.97 * waveform[i - 1] : value));
  return samples;
}

/** Samples mirrored at both ends, the outermost ones twice. */
function mirrored(waveform, ahead, behind) {
  const count = waveform.length;
  return Float64Array.from({ length: ahead + count + behind }, (_, place) => {
    const at = (((place - ahead) % (2 * count)) + 2 * count) % (2 * count);
    return waveform[at < count ? at : 2 * count - 1 - at];
  });
}

function isNemo(kind) {
  return kind.startsWith("nemo");
}

/** Rows of the logarithm of the power in each band, as doubles. */
function rowsOf(waveform, settings) {
  const { window, hop, fft_size: size, kind } = settings;
  const isKaldi = kind === "kaldi-fbank";
  let samples = Float64Array.from(waveform);
  let count = Math.max(0, 1 + Math.floor((waveform.length - window) / hop));
  if (isKaldi) {
    count = Math.floor((waveform.length + Math.floor(hop / 2)) / hop);
    samples = mirrored(waveform, Math.floor((window - hop) / 2), window);
  } else if (isNemo(kind)) {
    count = Math.floor(waveform.length / hop);
    samples = emphasised(waveform, Math.floor(window / 2), Math.floor(window / 2) + window);
  }
  const turn = isKaldi || isNemo(kind) ? window - 1 : window;
  const taper = Float64Array.from({ length: window }, (_, i) => {
    const hann = 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / turn);
    return isKaldi ? hann ** 0.85 : hann;
  });
  const transform = fourier(size);
  const bands = melBands(settings);
  const power = new Float64Array(size / 2 + 1);
  const least = 2 ** -23; // the epsilon of float32
  return Array.from({ length: count }, (_, row) => {
    let slice = samples.slice(row * hop, row * hop + window);
    if (isKaldi) {
      const scaled = slice.map((value) => value * (settings.integers ? 32768 : 1));
      const mean = scaled.reduce((sum, value) => sum + value, 0) / window;
      const even = scaled.map((value) => value - mean);
      slice = even.map((value, i) => value - 0.97 * even[Math.max(0, i - 1)]);
    }
    transform(slice.map((value, i) => value * taper[i]), power);
    return Float64Array.from(bands, (weights) => {
      const sum = weights.reduce((total, weight, bin) => total + weight * power[bin], 0);
      return Math.log(isKaldi ? Math.max(sum, least) : sum + (settings.log_offset ?? 2 ** -24));
    });
  });
}

/** Each group of rows is normalised by all that was heard up to its end. */
function featuresOf(rows, settings, { expected, chunk, shift }) {
  if (!expected || !rows.length) return rows;
  const bands = rows[0].length;
  const at = (values, band) => (Array.isArray(values) ? values[band] : values);
  const sums = new Float64Array(bands);
  const squares = new Float64Array(bands);
  const found = [];
  for (let begin = 0, end = chunk, heard = 0; begin < rows.length; begin = end, end += shift) {
    for (; heard < Math.min(end, rows.length); heard++)
      rows[heard].forEach((value, band) => {
        sums[band] += value;
        squares[band] += value ** 2;
      });
    const weight = expected.rows;
    for (const row of rows.slice(begin, end))
      found.push(
        row.map((value, band) => {
          const usual = at(expected.mean, band);
          const mean = (sums[band] + weight * usual) / (heard + weight);
          const square = squares[band] + weight * (at(expected.variance, band) + usual ** 2);
          const variance = square / (heard + weight) - mean ** 2;
          const deviation = isNemo(settings.kind)
            ? Math.sqrt(Math.max(variance, 0)) + 1e-5
            : Math.sqrt(Math.max(variance, 0) + settings.variance_floor);
          return (value - mean) / deviation;
        }),
      );
  }
  return found;
}

/** Rows of each run, and how many of them the clip has. */
function* chunksOf(waveform, settings, decoding) {
  const { chunk, shift, stride, lead, tail, delay, ends, expected } = decoding;
  const features = featuresOf(rowsOf(waveform, settings), settings, decoding);
  const bands = settings.mel_bands;
  const nothing = new Float64Array(bands);
  const heard = [...Array.from({ length: lead }, () => nothing), ...features];
  let behind = nothing;
  let runs;
  if (ends) {
    const rows = Math.floor(heard.length / stride) + 1 + delay;
    runs = Math.ceil((rows * stride) / shift);
  } else {
    runs = Math.ceil((heard.length + tail) / shift);
    if (!expected) behind = rowsOf(new Float32Array(4 * settings.window), settings).at(-1);
  }
  runs = features.length ? Math.max(runs, 1 + Math.floor((heard.length - chunk) / shift)) : 0;
  for (let start = 0; start < runs * shift; start += shift) {
    const values = new Float32Array(chunk * bands);
    for (let row = 0; row < chunk; row++) values.set(heard[start + row] ?? behind, row * bands);
    const own = ends ? Math.min(chunk, Math.max(0, heard.length - start)) : chunk;
    yield { values, own };
  }
}

/** What the first graph gives for each chunk. */
export async function* runsOf(ort, { sessions, frontend, decoding }, waveform) {
  const graph = decoding.graphs[0];
  let states = Object.fromEntries(graph.states.map((state) => [state.input, first(ort, state)]));
  for (const { values, own } of chunksOf(waveform, frontend, decoding)) {
    const made = await run(sessions[graph.role], {
      features: new ort.Tensor("float32", values, [1, decoding.chunk, frontend.mel_bands]),
      lengths: whole(ort, [own]),
      ...states,
    });
    states = Object.fromEntries(graph.states.map((state) => [state.input, made[state.output]]));
    yield made;
  }
}
