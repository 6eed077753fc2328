// What does an audio file say?   node example.mjs clip.wav
//
// Reads WAV files of 16 bits. Needs `npm install onnxruntime-node` in this folder's parent, or the
// folder of the package in NODE_PATH.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { readWav, requireFit } from "./js/common.mjs";
import { load, recognise } from "./js/recognise.mjs";

process.env.ORT_DISABLE_TELEMETRY = "1"; // read when ONNX Runtime is loaded
const ort = createRequire(import.meta.url)("onnxruntime-node");

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const open = (name) => ort.InferenceSession.create(here(name), { executionProviders: ["cpu"] });
const json = async (name) => JSON.parse(await readFile(here(name), "utf8"));

const path = process.argv[2];
if (process.argv.length !== 3) {
  console.error("usage: node example.mjs clip.wav");
  process.exit(1);
}
try {
  const { waveform, rate } = readWav(await readFile(path));
  const model = await load(open, json);
  requireFit(waveform, rate, model.frontend);
  console.log(await recognise(ort, model, waveform));
} catch (error) {
  console.error(`${path}: ${error.message}`);
  process.exit(1);
}
