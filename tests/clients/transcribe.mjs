// What a pipeline of transformers.js makes of a clip in a file of float32:
//   node transcribe.mjs NODE_MODULES FOLDER TASK CLIP.f32 OPTIONS.json
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, folder, task, clip, options] = process.argv.slice(2);
const entry = createRequire(path.join(modules, 'x.js')).resolve('@huggingface/transformers');
const library = await import(pathToFileURL(entry).href);
const { env, pipeline } = library.default ?? library;
env.allowRemoteModels = false;
env.localModelPath = path.dirname(folder);

const bytes = fs.readFileSync(clip);
const samples = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const run = await pipeline(task, path.basename(folder), { dtype: 'fp32', device: 'cpu' });
console.log(JSON.stringify(await run(samples, JSON.parse(options))));
