// Holds the model, so that the page answers while it runs.
import { load, recognise } from "../js/recognise.mjs";

// Where `ort.wasm.min.mjs`, `ort-wasm-simd-threaded.mjs` and `ort-wasm-simd-threaded.wasm` of the
// package onnxruntime-web lie.
const RUNTIME = new URL("./ort/", import.meta.url).href;
const BUNDLE = new URL("../", import.meta.url).href;

async function fetched(name) {
  const answer = await fetch(BUNDLE + name);
  if (!answer.ok) throw new Error(`${name} cannot be loaded: ${answer.status}`);
  return answer;
}
const json = async (name) => (await fetched(name)).json();

async function start() {
  const begin = performance.now();
  const ort = await import(`${RUNTIME}ort.wasm.min.mjs`).catch(() => {
    throw new Error(`The runtime is missing: copy the files ort.wasm.min.mjs and
      ort-wasm-simd-threaded.* of onnxruntime-web/dist to web/ort/.`);
  });
  ort.env.wasm.wasmPaths = RUNTIME;
  ort.env.wasm.numThreads = 1; // more need headers that isolate the page
  const about = await json("web/about.json");
  const open = (name) => {
    const external = about.external.filter((path) => path === `${name}.data`);
    return ort.InferenceSession.create(BUNDLE + name, {
      executionProviders: ["wasm"],
      externalData: external.map((path) => ({ path, data: BUNDLE + path })),
    });
  };
  const model = await load(open, json);
  const seconds = (performance.now() - begin) / 1000;
  postMessage({ frontend: model.frontend, name: about.name, seconds });
  return { ort, model };
}

const started = start();
started.catch((error) => postMessage({ error: error.message }));

onmessage = async ({ data: waveform }) => {
  try {
    const { ort, model } = await started;
    const begin = performance.now();
    const text = await recognise(ort, model, waveform);
    const seconds = (performance.now() - begin) / 1000;
    postMessage({ text, audio: waveform.length / model.frontend.sample_rate, seconds });
  } catch (error) {
    postMessage({ error: error.message });
  }
};
