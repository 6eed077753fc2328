// Load and run one model in onnxruntime-node or onnxruntime-web; for compatibility.py.
//
//   node compatibility_probe.mjs FOLDER PACKAGE MODEL REQUEST RESULT OPTIMISED
//
// FOLDER holds node_modules, and PACKAGE in it. The other arguments and files are those of compatibility_probe.py.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int32: Int32Array,
  int64: BigInt64Array,
};

const [folder, name, model, requestPath, resultPath, optimisedModelFilePath] =
  process.argv.slice(2);
const ort = createRequire(join(folder, "package.json"))(name);
const inBrowsers = name === "onnxruntime-web";
if (inBrowsers) {
  ort.env.wasm.numThreads = 1;
}

function toTensor({ type, dims, data }) {
  const bytes = Uint8Array.from(Buffer.from(data, "base64"));
  return new ort.Tensor(type, new ARRAYS[type](bytes.buffer), dims);
}

function fromTensor({ type, dims, data }) {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return { type, dims, data: bytes.toString("base64") };
}

async function run() {
  const request = JSON.parse(readFileSync(requestPath, "utf-8"));
  const session = await ort.InferenceSession.create(inBrowsers ? readFileSync(model) : model, {
    executionProviders: [inBrowsers ? "wasm" : "cpu"],
    intraOpNumThreads: 1,
    logSeverityLevel: 4,
    ...(inBrowsers ? {} : { optimizedModelFilePath: optimisedModelFilePath }),
  });
  const feeds = session.inputNames.map((name) => [name, toTensor(request[name])]);
  const outputs = await session.run(Object.fromEntries(feeds));
  return Object.fromEntries(
    Object.entries(outputs).map(([name, tensor]) => [name, fromTensor(tensor)]),
  );
}

const result = { version: ort.env.versions.node ?? ort.env.versions.web ?? "", error: null, outputs: {} };
try {
  result.outputs = await run();
} catch (error) {
  result.error = error.message.replace(/\s+/g, " ");
}
writeFileSync(resultPath, JSON.stringify(result));
