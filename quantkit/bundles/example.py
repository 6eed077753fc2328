"""The example program of a bundle.

Stored as text, because it must not import quantkit: it needs only ONNX Runtime and NumPy.
"""

EXAMPLE_SOURCE = '''\
"""What does a 16-bit WAV file say?   python example.py clip.wav"""
import json, os, pathlib, re, sys, wave
import numpy as np
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when ONNX Runtime is imported
import onnxruntime as ort

here = pathlib.Path(__file__).parent
labels = json.loads((here / "labels.json").read_text("utf-8"))
rate = json.loads((here / "frontend.json").read_text("utf-8"))["sample_rate"]
with wave.open(sys.argv[1]) as clip:
    if (clip.getframerate(), clip.getsampwidth()) != (rate, 2):
        sys.exit(f"{sys.argv[1]}: needs 16-bit samples at {rate} Hz")
    pcm = np.frombuffer(clip.readframes(clip.getnframes()), "<i2")
waveform = (pcm.reshape(-1, clip.getnchannels()).mean(axis=1) / 32768).astype("float32")[np.newaxis]
session = ort.InferenceSession(str(here / "model.onnx"), providers=["CPUExecutionProvider"])
feed = {"waveform": waveform, "lengths": np.array([waveform.size], "int64")}
log_probs, frames = session.run(["log_probs", "output_lengths"], feed)
best = log_probs[0, : frames[0]].argmax(axis=1)
silent = {labels["blank"], *labels.get("silent", [])}
kept = [i for i, last in zip(best, [-1, *best]) if i != last and i not in silent]
text = labels["separator"].join(labels["tokens"][i] for i in kept)
spelt = lambda run: bytes.fromhex(re.sub("<0x|>", "", run[0])).decode("utf-8", "replace")
sys.stdout.reconfigure(errors="backslashreplace")
print(*re.sub("(?:<0x[0-9A-F]{2}>)+", spelt, text).split())
'''
