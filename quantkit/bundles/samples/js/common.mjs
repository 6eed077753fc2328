// What examples in JavaScript share, in Node and in a page.

const WINDOW = 60; // seconds that are heard at a time,
const EDGE = 2; // and once more on either side of a cut

/** Samples of a WAV file of 16 bits, the mean of its channels in [-1, 1], and their rate in hertz. */
export function readWav(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = (at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.length < 12 || name(0) !== "RIFF" || name(8) !== "WAVE") throw new Error("not a WAV file");
  let format = null;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const size = view.getUint32(at + 4, true);
    const start = at + 8;
    if (name(at) === "fmt " && start + 16 <= bytes.length) {
      // 0xFFFE: the code stands further back.
      const extended = view.getUint16(start, true) === 0xfffe && size >= 26;
      format = {
        code: view.getUint16(extended ? start + 24 : start, true),
        channels: view.getUint16(start + 2, true),
        rate: view.getUint32(start + 4, true),
        bits: view.getUint16(start + 14, true),
      };
    } else if (name(at) === "data" && format) {
      const { code, channels, rate, bits } = format;
      if (code !== 1 || bits !== 16 || channels < 1) throw new Error("not a WAV of 16 bits; convert it");
      const count = Math.floor(Math.min(size, bytes.length - start) / (2 * channels));
      const waveform = new Float32Array(count);
      for (let i = 0; i < count; i++) {
        let sum = 0;
        for (let c = 0; c < channels; c++) sum += view.getInt16(start + 2 * (i * channels + c), true);
        waveform[i] = sum / channels / 32768;
      }
      return { waveform, rate };
    }
    at = start + size + (size % 2);
  }
  throw new Error("a WAV file without samples");
}

/** Throws where a clip is of another rate than the model's, or of less than 0.1 seconds. */
export function requireFit(waveform, rate, frontend) {
  if (rate !== frontend.sample_rate)
    throw new Error(`has ${rate} Hz, and the model needs ${frontend.sample_rate}`);
  if (waveform.length < Math.floor(rate / 10)) throw new Error("is too short");
}

/** Where the largest of values [from, to) stands, counted from `from`. */
export function likeliest(values, from = 0, to = values.length) {
  let best = from;
  for (let i = from + 1; i < to; i++) if (values[i] > values[best]) best = i;
  return best - from;
}

/** The text of tokens; those that are not printed are left out. */
export function written(labels, tokens) {
  const silent = new Set([labels.blank, ...(labels.silent ?? [])]);
  const text = tokens.filter((i) => !silent.has(i)).map((i) => labels.tokens[i]).join(labels.separator);
  const spelt = (run) =>
    new TextDecoder().decode(Uint8Array.from(run.match(/[0-9A-F]{2}/g), (byte) => parseInt(byte, 16)));
  return text.replace(/(?:<0x[0-9A-F]{2}>)+/g, spelt).split(/\s+/).filter(Boolean).join(" ");
}

export const whole = (ort, values, shape = [values.length]) =>
  new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);

/** The value of a state before the first run. */
export function first(ort, { type, shape, value = 0 }) {
  const sizes = shape.map((n) => (n === "batch" ? 1 : n));
  const count = sizes.reduce((product, n) => product * n, 1);
  const kinds = { int64: BigInt64Array, int32: Int32Array, bool: Uint8Array };
  const values = new (kinds[type] ?? Float32Array)(count);
  return new ort.Tensor(type, values.fill(type === "int64" ? BigInt(value) : value), sizes);
}

/** All outputs by name; inputs that the session does not take are left out. */
export function run(session, feed) {
  const taken = session.inputNames.filter((name) => name in feed);
  return session.run(Object.fromEntries(taken.map((name) => [name, feed[name]])));
}

// To the even number where both are as near, as NumPy rounds.
export const rounded = (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

/**
 * Rows that a session makes of a clip, one after the other. Memory does not grow with its length.
 *
 * `output` (1, rows, width) and `lengths` (1,) are names of what the session gives.
 */
export async function* rowsOf(ort, session, output, lengths, waveform, rate) {
  for (let start = 0; start < waveform.length; start += WINDOW * rate) {
    const end = Math.min(start + WINDOW * rate, waveform.length);
    const first = Math.max(0, start - EDGE * rate);
    const part = waveform.slice(first, end + EDGE * rate);
    const made = await run(session, {
      waveform: new ort.Tensor("float32", part, [1, part.length]),
      lengths: whole(ort, [part.length]),
    });
    const count = Number(made[lengths].data[0]);
    const width = made[output].dims[2];
    const cut = [start, end].map((at) => rounded(((at - first) / part.length) * count));
    for (let row = cut[0]; row < Math.min(cut[1], made[output].dims[1]); row++)
      yield made[output].data.subarray(row * width, (row + 1) * width);
  }
}

/** All that a text takes: sessions by role, labels, front end and how labels follow. */
export async function loadGraphs(open, json) {
  const decoding = await json("decoding.json");
  const sessions = {};
  for (const graph of decoding.graphs) sessions[graph.role] = await open(graph.file);
  return { sessions, labels: await json("labels.json"), frontend: await json("frontend.json"), decoding };
}

/** The same of a model of one graph. */
export async function loadGraph(open, json) {
  const session = await open("model.onnx");
  return { session, labels: await json("labels.json"), frontend: await json("frontend.json") };
}
