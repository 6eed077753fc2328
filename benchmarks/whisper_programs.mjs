// What transformers.js writes of clips in files of float32; for whisper_programs.py.
//
//   node whisper_programs.mjs NODE_MODULES FOLDER OPTIONS.json CLIP.f32 …

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, folder, options, ...clips] = process.argv.slice(2);
const entry = createRequire(join(modules, "x.js")).resolve("@huggingface/transformers");
const library = await import(pathToFileURL(entry).href);
const { env, pipeline } = library.default ?? library;
env.allowRemoteModels = false;
env.localModelPath = dirname(folder);
const run = await pipeline("automatic-speech-recognition", basename(folder), {
  dtype: "fp32",
  device: "cpu",
});
const texts = [];
for (const clip of clips) {
  const bytes = readFileSync(clip);
  const samples = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const { text } = await run(samples, JSON.parse(options));
  texts.push(text);
}
console.log(JSON.stringify(texts));
