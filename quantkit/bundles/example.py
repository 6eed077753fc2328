"""The example program of a bundle.

Stored as text, because it must not import quantkit: it needs only ONNX Runtime and NumPy.
"""

from __future__ import annotations

from quantkit.bundles.several import steps_of
from quantkit.runtime.load_memory import LoadMemory
from quantkit.text.labels import Labels

_HEAD = '''\
"""What does an audio file say?   python example.py clip.wav

Reads WAV files of 16 bits. With the package soundfile, also FLAC, Ogg, MP3 and other WAV files.
"""
import json, os, re, shutil, sys, wave
from pathlib import Path
import numpy as np
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when ONNX Runtime is imported
import onnxruntime as ort
fcntl = None if os.name == "nt" else __import__("fcntl")  # locks, which Windows has not

UNPACK_ONCE = False
PROVIDERS = ["CPUExecutionProvider"]
WINDOW, EDGE = 60, 2  # seconds that are heard at a time, and once more on either side of a cut


def read(path):
    """(samples,) float32 in [-1, 1] and their rate in hertz."""
    try:
        with wave.open(path) as clip:
            rate, width, channels = clip.getframerate(), clip.getsampwidth(), clip.getnchannels()
            if width != 2:
                raise wave.Error(f"samples of {8 * width} bits")
            content = clip.readframes(clip.getnframes())
        whole = len(content) // (2 * channels) * 2 * channels
        pcm = np.frombuffer(content[:whole], "<i2").reshape(-1, channels)
        return pcm.mean(axis=1, dtype="float32") / 32768, rate
    except OSError as error:
        sys.exit(f"cannot read {path}: {error.strerror}")
    except (wave.Error, EOFError) as error:
        reason = error
    try:
        import soundfile
    except ImportError:
        sys.exit(f"{path}: not a WAV of 16 bits ({reason}); convert it, or install soundfile")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except RuntimeError as error:
        sys.exit(f"{path}: not audio that can be read ({error})")
    return samples.mean(axis=1), rate


'''

_WRITTEN = '''\
def written(labels, tokens):
    """The text of tokens; those that are not printed are left out."""
    silent = {labels["blank"], *labels.get("silent", [])}
    text = labels["separator"].join(labels["tokens"][i] for i in tokens if i not in silent)
    spelt = lambda run: bytes.fromhex(re.sub("<0x|>", "", run[0])).decode("utf-8", "replace")
    return " ".join(re.sub("(?:<0x[0-9A-F]{2}>)+", spelt, text).split())


'''

_OPENED = '''\
def opened(model):
    """A session. Weights that take much memory to unpack are kept unpacked for the next start."""
    here, new = model.parent, model.parent / f".unpacked-new-{os.getpid()}"
    with (here / "model.onnx").open("rb") as file:
        file.seek(-64, os.SEEK_END)  # the checksum of all graphs
        kept = here / f".unpacked-{file.read(16).decode()}-{ort.__version__}-{model.stem}"
        try:
            if UNPACK_ONCE and not kept.exists():
                if fcntl:  # fails where another start unpacks
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    [shutil.rmtree(left) for left in here.glob(".unpacked-new-*")]
                new.mkdir()
                options = ort.SessionOptions()
                options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
                external = "session.optimized_model_external_initializers_"
                options.add_session_config_entry(external + "file_name", "weights")
                options.add_session_config_entry(external + "min_size_in_bytes", "1024")
                options.optimized_model_filepath = str(new / model.name)
                ort.InferenceSession(str(model), options, providers=PROVIDERS)
                new.rename(kept)
        except Exception:  # of many kinds: no room, or no right to write here
            shutil.rmtree(new, ignore_errors=True)
    try:
        return ort.InferenceSession(str(kept / model.name), providers=PROVIDERS)
    except Exception:
        return ort.InferenceSession(str(model), providers=PROVIDERS)


'''

_FRAMES = '''\
def frames_of(session, waveform, rate):
    """What the labels score in each frame. Memory does not grow with the length of a clip."""
    for start in range(0, waveform.size, WINDOW * rate):
        end = min(start + WINDOW * rate, waveform.size)
        first = max(0, start - EDGE * rate)
        part = waveform[first : end + EDGE * rate]
        feed = {"waveform": part[np.newaxis], "lengths": np.array([part.size], "int64")}
        log_probs, frames = session.run(["log_probs", "output_lengths"], feed)
        cut = [round((at - first) / part.size * int(frames[0])) for at in (start, end)]
        yield from log_probs[0, cut[0] : cut[1]]


'''

# Transitions between labels count, and some labels repeat a letter.
_VITERBI = '''\
def best_path(frames, steps):
    """The label of each frame on the best path through all of them (Viterbi)."""
    score, before = next(frames), []
    for row in frames:
        every = score[:, np.newaxis] + steps
        before.append(every.argmax(axis=0).astype("uint16"))
        score = every.max(axis=0) + row
    path = [int(score.argmax())]
    for places in reversed(before):
        path.append(int(places[path[-1]]))
    return path[::-1]


'''

_OPENED_ONE = """\
if len(sys.argv) != 2:
    sys.exit(__doc__)
here = Path(__file__).parent
labels = json.loads((here / "labels.json").read_text("utf-8"))
settings = json.loads((here / "frontend.json").read_text("utf-8"))
waveform, rate = read(sys.argv[1])
if rate != settings["sample_rate"]:
    sys.exit(f"{sys.argv[1]}: has {rate} Hz, and the model needs {settings['sample_rate']}")
if waveform.size < rate // 10:
    sys.exit(f"{sys.argv[1]}: is too short, of {waveform.size} samples")
session = opened(here / "model.onnx")
"""
# CTC: no frame depends on another.
_CTC = """\
best = [int(row.argmax()) for row in frames_of(session, waveform, rate)]
silent = {labels["blank"], *labels.get("silent", [])}
kept = [i for i, last in zip(best, [-1, *best]) if i != last and i not in silent]
"""
_ASG = """\
best = best_path(frames_of(session, waveform, rate), np.array(labels["asg"]["transitions"]))
repeats, silent, kept = labels["asg"]["repeats"], labels["silent"], []
for last, i in zip([-1, *best], best):
    if i != last and i not in silent:
        kept.append(i)
    elif i != last and i in repeats and last >= 0 and last not in silent:
        kept += [last] * (1 + repeats.index(i))
"""
_PRINTED = """\
text = labels["separator"].join(labels["tokens"][i] for i in kept)
spelt = lambda run: bytes.fromhex(re.sub("<0x|>", "", run[0])).decode("utf-8", "replace")
sys.stdout.reconfigure(errors="backslashreplace")
print(*re.sub("(?:<0x[0-9A-F]{2}>)+", spelt, text).split())
"""

_MAIN = '''\
def load(here):
    """All that a text takes: sessions by role, labels, front end and how labels follow."""
    say = lambda name: json.loads((here / name).read_text("utf-8"))
    decoding = say("decoding.json")
    sessions = {graph["role"]: opened(here / graph["file"]) for graph in decoding["graphs"]}
    return sessions, say("labels.json"), say("frontend.json"), decoding


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    waveform, rate = read(sys.argv[1])
    model = load(Path(__file__).parent)
    if rate != model[2]["sample_rate"]:
        sys.exit(f"{sys.argv[1]}: has {rate} Hz, and the model needs {model[2]['sample_rate']}")
    if waveform.size < rate // 10:
        sys.exit(f"{sys.argv[1]}: is too short, of {waveform.size} samples")
    sys.stdout.reconfigure(errors="backslashreplace")
    print(written(model[1], recognise(model, waveform)[0]))


if __name__ == "__main__":
    main()
'''

# Opening the file must take so much more than what stays of it, and so many bytes more.
_WORTH_SHARE, _WORTH_BYTES = 1.5, 50_000_000


def example_source(
    load: LoadMemory, labels: Labels | None = None, kind: str = "", frontend: str = ""
) -> str:
    """The program for a model.

    Args:
        load: what opening it takes. Where that is much more than what stays, the program keeps what
            ONNX Runtime unpacked in a folder :data:`~quantkit.bundles.manifest.KEPT` beside it.
        labels: of a model of one graph, which say whether it is CTC or ASG; None: CTC.
        kind: of several graphs, one of :data:`~quantkit.bundles.several.KINDS`; empty for one
            graph.
        frontend: ``kind`` of the front end, which the example of a model that hears in chunks
            makes the features of.
    """
    more = load.peak_bytes - load.resident_bytes
    worth = more > _WORTH_BYTES and load.peak_bytes > _WORTH_SHARE * load.resident_bytes
    own: tuple[str, ...] = (_FRAMES, _OPENED_ONE, _CTC, _PRINTED)
    if kind:
        own = (_WRITTEN, steps_of(kind, frontend), _MAIN)
    elif labels is not None and labels.asg is not None:
        own = (_FRAMES, _VITERBI, _OPENED_ONE, _ASG, _PRINTED)
    source = "".join((_HEAD, _OPENED, *own))
    return source.replace("UNPACK_ONCE = False", f"UNPACK_ONCE = {worth}")
