// Tokens that transformers.js writes for the input in a file of float32:
//   node generate.mjs NODE_MODULES FOLDER FAMILY INPUT.f32 SHAPE TOKENS
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, folder, family, input, shape, count] = process.argv.slice(2);
const entry = createRequire(path.join(modules, 'x.js')).resolve('@huggingface/transformers');
const library = await import(pathToFileURL(entry).href);
const { env, Tensor } = library.default ?? library;
const classes = library.default ?? library;
env.allowRemoteModels = false;
env.localModelPath = path.dirname(folder);

const bytes = fs.readFileSync(input);
const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const heard = new Tensor('float32', values, shape.split(',').map(Number));
const model = await classes[`${family}ForConditionalGeneration`].from_pretrained(
  path.basename(folder), { dtype: 'fp32', device: 'cpu', local_files_only: true });
const made = await model.generate({ inputs: heard, max_new_tokens: Number(count) });
console.log(JSON.stringify(made.tolist()[0].map(Number)));
