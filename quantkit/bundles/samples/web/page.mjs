// The page: takes audio from a file or the microphone, and shows what the worker makes of it.
import { readWav, requireFit } from "../js/common.mjs";

const find = (id) => document.getElementById(id);
const worker = new Worker("worker.mjs", { type: "module" });
let frontend = null;

function say(message, bad = false) {
  find("status").textContent = message;
  find("status").classList.toggle("bad", bad);
}

function setReady(ready) {
  find("file").disabled = find("record").disabled = !ready;
  find("file").parentElement.classList.toggle("off", !ready);
}

/** Samples and rate of any audio that the browser knows; WAV of 16 bits is read without it. */
async function decode(bytes) {
  try {
    const clip = readWav(new Uint8Array(bytes));
    if (clip.rate === frontend.sample_rate) return clip;
  } catch {
    // Another format.
  }
  const context = new OfflineAudioContext(1, 1, frontend.sample_rate);
  const clip = await context.decodeAudioData(bytes).catch(() => {
    throw new Error("not audio that this browser can read");
  });
  const channels = Array.from({ length: clip.numberOfChannels }, (_, i) => clip.getChannelData(i));
  const waveform = channels[0].map((_, at) =>
    channels.reduce((sum, channel) => sum + channel[at], 0) / channels.length);
  return { waveform, rate: clip.sampleRate };
}

async function hear(blob) {
  setReady(false);
  find("text").textContent = "";
  say("Listening …");
  try {
    const { waveform, rate } = await decode(await blob.arrayBuffer());
    requireFit(waveform, rate, frontend);
    worker.postMessage(waveform, [waveform.buffer]);
  } catch (error) {
    say(`${blob.name ?? "The recording"}: ${error.message}`, true);
    setReady(true);
  }
}

worker.onmessage = ({ data }) => {
  if (data.frontend) {
    frontend = data.frontend;
    find("name").textContent = document.title = data.name;
    say(`Ready. The model was loaded in ${data.seconds.toFixed(1)} s.`);
  } else if (data.error) {
    say(data.error, true);
  } else {
    find("text").textContent = data.text;
    const nothing = data.text ? "" : "Nothing was said. ";
    say(`${nothing}${data.audio.toFixed(1)} s of audio in ${data.seconds.toFixed(1)} s.`);
  }
  setReady(frontend !== null);
};
worker.onerror = (event) => say(event.message || "The worker does not start.", true);

find("file").onchange = ({ target }) => {
  if (target.files.length) hear(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
};

let recorder = null;
find("record").onclick = async () => {
  if (recorder) return recorder.stop();
  try {
    const wanted = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    const parts = [];
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = ({ data }) => parts.push(data);
    recorder.onstop = () => {
      stream.getTracks().forEach((track) => track.stop());
      recorder = null;
      find("record").textContent = "Record";
      find("record").setAttribute("aria-pressed", "false");
      hear(new Blob(parts));
    };
    recorder.start();
    find("record").textContent = "Stop";
    find("record").setAttribute("aria-pressed", "true");
    say("Recording …");
  } catch (error) {
    recorder = null;
    // Browsers have it on https and on localhost only.
    say(`No microphone: ${navigator.mediaDevices ? error.message : "the page needs https"}`, true);
  }
};
