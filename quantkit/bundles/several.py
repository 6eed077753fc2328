"""How the example of a bundle runs models of a kind: ``recognise`` of each, as text.

Each returns the tokens of a clip, and the natural log-probability of every decision on the way.
"""

from __future__ import annotations

from quantkit.bundles.in_chunks import encoded_in_chunks, labels_in_chunks
from quantkit.tasks.names import (
    CANARY,
    CLASSIFICATION,
    MOONSHINE,
    STREAMING_CTC,
    STREAMING_TRANSDUCER,
    TRANSDUCER,
    WHISPER,
)

_RUN = '''\
def run(session, feed):
    """All outputs by name; inputs that the session does not take are left out."""
    taken = {value.name for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {k: v for k, v in feed.items() if k in taken})))


'''

# Of a transducer: Graves, "Sequence transduction with recurrent neural networks", 2012; with
# durations Xu et al., "Efficient sequence transduction by jointly predicting tokens and
# durations", 2023.
_ENCODED = '''\
def encoded_frames(model, waveform):
    """(frames, width) of a clip. Memory of the encoder does not grow with its length."""
    session, rate = model[0]["encoder"], model[2]["sample_rate"]
    for start in range(0, waveform.size, WINDOW * rate):
        end = min(start + WINDOW * rate, waveform.size)
        first = max(0, start - EDGE * rate)
        part = waveform[first : end + EDGE * rate]
        made = run(session, {"waveform": part[None], "lengths": np.array([part.size], "int64")})
        frames = int(made["encoded_lengths"][0])
        cut = [round((at - first) / part.size * frames) for at in (start, end)]
        yield from made["encoded"][0, cut[0] : cut[1]]


'''

_LABELS = '''\
def recognise(model, waveform):
    """The likeliest label in every frame, until it is the blank."""
    sessions, labels, frontend, decoding = model
    reader, joiner = sessions.get("predictor") or sessions["decoder"], sessions.get("joiner")
    kept = next(graph["states"] for graph in decoding["graphs"] if graph["role"] in PREDICTORS)
    states = {
        s["input"]: np.zeros([1 if n == "batch" else n for n in s["shape"]], s["type"])
        for s in kept
    }
    count, last, tokens, scores, read = len(labels["tokens"]), decoding["start"], [], [], None
    frames = list(encoded_frames(model, waveform))
    at = added = 0
    while at < len(frames):
        feed = {"encoded": frames[at][None, None], "frames": np.zeros(1, "int64")}
        feed |= {"tokens": np.array([last], "int64"), **states}
        if joiner:
            read = read or run(reader, feed)
            found = run(joiner, {**feed, **read})["log_probs"][0, 0]
        else:
            read = run(reader, feed)
            found = read["log_probs"][0, 0]
        label = int(found[:count].argmax())
        scores.append(float(found[label]))
        duration = int(found[count:].argmax()) if decoding["durations"] else 0
        if label != labels["blank"]:
            tokens.append(label)
            last = [*last, label][-len(last) :]
            states = {s["input"]: read[s["output"]] for s in kept}
            added, read = added + 1, None
        if duration == 0 and (label == labels["blank"] or added == decoding["most_per_frame"]):
            duration = 1
        if duration:
            at, added = at + duration, 0
    return tokens, scores


PREDICTORS = ("predictor", "decoder")


'''

_TOKENS = (
    _RUN
    + '''\
def likeliest(decoder, cross, prompt, longest, decoding):
    """The likeliest token after each other, until the text ends, and their scores."""
    sizes = {v.name: v.shape for v in decoder.get_inputs() if v.name.startswith("past.")}
    past = {n: np.zeros((1, size[1], 0, size[3]), "float32") for n, size in sizes.items()}
    tokens, scores, new = [], [], prompt
    while len(tokens) <= longest:
        at = {"tokens": np.array([new], "int64"), "positions": np.array([len(new) - 1], "int64")}
        made = run(decoder, {**at, **past, **cross})
        found = made["log_probs"][0, -1]
        found[decoding["suppressed"]] = -np.inf
        if not tokens:
            found[decoding["suppressed_first"]] = -np.inf
        new = [int(found.argmax())]
        scores.append(float(found[new[0]]))
        if new[0] == decoding["end"]:
            break
        tokens += new
        past = {name: made["present." + name[len("past.") :]] for name in sizes}
    return tokens[:longest], scores


'''
)

_TEXTS = (
    _TOKENS
    + '''\
def recognise(model, waveform):
    """Text of a clip, which is cut every 30 seconds where it is longer than 40."""
    sessions, labels, frontend, decoding = model
    rate, tokens, scores, prompt = frontend["sample_rate"], [], [], prompt_of(decoding)
    size = waveform.size if waveform.size <= 40 * rate else 30 * rate
    for start in range(0, waveform.size, size):
        part = waveform[start : start + size]
        if part.size < frontend["window"]:
            break
        wanted = round(decoding["tokens_per_second"] * part.size / rate)
        wanted += decoding.get("tokens_more", 0)
        longest = max(1, min(wanted, decoding.get("longest", wanted)))
        cross = run(sessions["encoder"], {"waveform": part[None]})
        found = likeliest(sessions["decoder"], cross, prompt, longest, decoding)
        tokens, scores = tokens + found[0], scores + found[1]
    return tokens, scores


'''
)
# Of a Moonshine: Jeffries et al., "Moonshine", 2024.
_ALWAYS = '''\
def prompt_of(decoding):
    """The tokens that a text follows."""
    return decoding["prompt"]


'''
# Of a Canary: Puvvada et al., "Less is more", 2024.
_LANGUAGES = '''\
def prompt_of(decoding):
    """The tokens that a text follows. Set LANGUAGE to what is spoken, TARGET to what to write."""
    prompt, spoken = list(decoding["prompt"]), LANGUAGE or decoding["language"]
    prompt[decoding["source"]] = decoding["languages"][spoken]
    prompt[decoding["target"]] = decoding["languages"][TARGET or spoken]
    return prompt


LANGUAGE = TARGET = ""  # codes such as "de"


'''

# Of a Whisper: Radford et al., "Robust speech recognition via large-scale weak supervision", 2022.
_WINDOWS = (
    _TOKENS
    + '''\
def spectrogram(waveform, settings):
    """(1, bands, frames) of 30 seconds: the logarithm of the power in bands of Slaney's scale."""
    rate, window, hop = settings["sample_rate"], settings["window"], settings["hop"]
    frames = settings["window_seconds"] * rate // hop
    clip = np.zeros(frames * hop + window)
    clip[window // 2 : window // 2 + waveform.size] = waveform
    clip[: window // 2] = clip[window // 2 + 1 : window + 1][::-1]
    slices = np.lib.stride_tricks.sliding_window_view(clip, window)[::hop][:frames]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    power = np.abs(np.fft.rfft(slices * hann)) ** 2
    mels = np.linspace(0, 15 + 27 * np.log(rate / 2000) / np.log(6.4), settings["mel_bands"] + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    bins = np.arange(window // 2 + 1) * rate / window
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    bands = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    found = np.log10(np.maximum(bands @ power.T, 1e-10))
    return ((np.maximum(found, found.max() - 8) + 4) / 4).astype("float32")[None]


def recognise(model, waveform):
    """Text of a clip, which is cut every 30 seconds. Set LANGUAGE, or the model finds it out."""
    sessions, labels, frontend, decoding = model
    size, tokens, scores = frontend["window_seconds"] * frontend["sample_rate"], [], []
    languages = decoding["languages"]
    for start in range(0, waveform.size, size):
        part = waveform[start : start + size]
        if part.size < frontend["window"]:
            break
        cross = run(sessions["encoder"], {"features": spectrogram(part, frontend)})
        prompt = decoding["prompt"]
        if languages:
            none = {**decoding, "suppressed": [], "suppressed_first": []}
            some = sorted(languages.values())
            none["suppressed_first"] = sorted(set(range(len(labels["tokens"]))) - set(some))
            spoken = languages.get(LANGUAGE or decoding["language"])
            spoken = spoken or likeliest(sessions["decoder"], cross, prompt[:1], 1, none)[0][0]
            prompt = [prompt[0], spoken, *prompt[1:]]
        found = likeliest(sessions["decoder"], cross, prompt, decoding["longest"], decoding)
        tokens, scores = tokens + found[0], scores + found[1]
    return tokens, scores


LANGUAGE = ""  # a code such as "de"


'''
)

_CLASS = (
    _RUN
    + '''\
def recognise(model, waveform):
    """The likeliest class of a clip; one of more than 40 seconds is heard in pieces of 30."""
    session, rate = model[0]["model"], model[2]["sample_rate"]
    start, total = 0, 0
    while start < waveform.size:
        size = waveform.size - start
        part = waveform[start : start + (size if size <= 40 * rate else 30 * rate)]
        feed = {"waveform": part[None], "lengths": np.array([part.size], "int64")}
        total = total + part.size * np.exp(run(session, feed)["log_probs"][0].astype("float64"))
        start += part.size
    scores = np.log(total / waveform.size)
    return [int(scores.argmax())], [float(scores.max())]


'''
)

_OF_CLIPS = {
    CLASSIFICATION: _CLASS,
    TRANSDUCER: _RUN + _ENCODED + _LABELS,
    MOONSHINE: _TEXTS + _ALWAYS,
    CANARY: _TEXTS + _LANGUAGES,
    WHISPER: _WINDOWS,
}
#: Kinds of models that hear in chunks, whose example makes the features.
IN_CHUNKS = (STREAMING_TRANSDUCER, STREAMING_CTC)
#: What ``kind`` in ``decoding.json`` may be.
KINDS = (*_OF_CLIPS, *IN_CHUNKS)


def steps_of(kind: str, frontend: str) -> str:
    """How the example of a kind of model recognises.

    Args:
        kind: one of :data:`KINDS`.
        frontend: ``kind`` of the front end, of a model that hears in chunks one of
            :data:`~quantkit.bundles.in_chunks.FRONTENDS`.
    """
    if kind == STREAMING_TRANSDUCER:
        return _RUN + encoded_in_chunks(frontend) + _LABELS
    if kind == STREAMING_CTC:
        return _RUN + labels_in_chunks(frontend)
    return _OF_CLIPS[kind]
