"""How the example of a bundle hears a clip chunk by chunk, as text.

Features are those of :mod:`quantkit.audio.frontend`, :mod:`quantkit.audio.kaldi_frontend` and
:mod:`quantkit.audio.nemo_frontend`, normalised as in :mod:`quantkit.audio.running_normalization`;
chunks are those of :mod:`quantkit.runtime.streaming.chunks`.
"""

from __future__ import annotations

_HTK_FILTERS = '''\
def filters(settings):
    """(bands, bins): triangles on HTK's mel scale."""
    mel = lambda hertz: 2595 * np.log10(1 + np.asarray(hertz, "float64") / 700)
    low, high = mel([settings["low_hz"], settings["high_hz"]])
    edges, size = np.linspace(low, high, settings["mel_bands"] + 2), settings["fft_size"]
    bins = mel(np.arange(size // 2 + 1) * settings["sample_rate"] / size)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling))


'''

_OWN_ROWS = '''\
def rows_of(waveform, settings):
    """(frames, bands): the logarithm of the power in each band."""
    window, hop, size = settings["window"], settings["hop"], settings["fft_size"]
    count = max(0, 1 + (waveform.size - window) // hop)
    slices = np.lib.stride_tricks.sliding_window_view(waveform, window)[::hop][:count]
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    power = np.abs(np.fft.rfft(slices * taper, n=size, axis=1)) ** 2
    return np.log(power @ filters(settings).T + settings["log_offset"])


def deviation_of(variance, settings):
    """What a band is divided by."""
    return np.sqrt(variance + settings["variance_floor"])


'''

_KALDI_ROWS = '''\
def rows_of(waveform, settings):
    """(frames, bands): the logarithm of the power in each band."""
    window, hop, size = settings["window"], settings["hop"], settings["fft_size"]
    count = (waveform.size + hop // 2) // hop
    clip = np.pad(waveform, ((window - hop) // 2, window), mode="symmetric")
    slices = np.lib.stride_tricks.sliding_window_view(clip, window)[::hop][:count]
    slices = slices.astype("float64") * (32768 if settings["integers"] else 1)
    slices = slices - slices.mean(axis=1, keepdims=True)
    slices = slices - 0.97 * np.concatenate((slices[:, :1], slices[:, :-1]), axis=1)
    taper = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / (window - 1))) ** 0.85
    power = np.abs(np.fft.rfft(slices * taper, n=size, axis=1)) ** 2
    return np.log(np.maximum(power @ filters(settings).T, np.finfo("float32").eps))


'''

_NEMO_ROWS = '''\
def filters(settings):
    """(bands, bins): triangles of equal area on Slaney's mel scale."""
    rate, size, bands = settings["sample_rate"], settings["fft_size"], settings["mel_bands"]
    step = np.log(6.4) / 27
    mels = np.linspace(0, min(rate * 3 / 400, 15 + np.log(max(rate / 2000, 1)) / step), bands + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(step * (mels - 15)))
    bins = np.arange(size // 2 + 1) * rate / size
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def rows_of(waveform, settings):
    """(frames, bands): the logarithm of the power in each band, before normalisation."""
    window, hop, size = settings["window"], settings["hop"], settings["fft_size"]
    half, count = window // 2, waveform.size // hop
    clip = np.zeros(waveform.size + 2 * half + window)
    clip[half : half + waveform.size] = waveform
    clip[half + 1 : half + waveform.size] -= 0.97 * waveform[:-1].astype("float64")
    slices = np.lib.stride_tricks.sliding_window_view(clip, window)[::hop][:count]
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / (window - 1))
    power = np.abs(np.fft.rfft(slices * taper, n=size, axis=1)) ** 2
    return np.log(power @ filters(settings).T + 2**-24)


def deviation_of(variance, settings):
    """What a band is divided by."""
    return np.sqrt(variance) + 1e-5


'''

_AS_THEY_ARE = '''\
def features_of(rows, settings, decoding):
    """(frames, bands): rows as they are."""
    return rows.astype("float32")


'''

_NORMALISED = '''\
def features_of(rows, settings, decoding):
    """(frames, bands): each group of rows is normalised by all that was heard up to its end."""
    expected = decoding["expected"]
    sums, squares = rows.cumsum(axis=0), (rows**2).cumsum(axis=0)
    power, weight = expected["variance"] + expected["mean"] ** 2, expected["rows"]
    found, begin, end = [rows[:0]], 0, decoding["chunk"]
    while begin < len(rows):
        heard = min(end, len(rows))
        mean = (sums[heard - 1] + weight * expected["mean"]) / (heard + weight)
        variance = (squares[heard - 1] + weight * power) / (heard + weight) - mean**2
        deviation = deviation_of(np.maximum(variance, 0), settings)
        found.append((rows[begin:end] - mean) / deviation)
        begin, end = end, end + decoding["shift"]
    return np.concatenate(found).astype("float32")


'''

_HEARD = '''\
def chunks_of(waveform, settings, decoding):
    """(chunk, bands) features of each run, and how many frames of it the clip has."""
    features = features_of(rows_of(waveform, settings), settings, decoding)
    chunk, shift, stride = decoding["chunk"], decoding["shift"], decoding["stride"]
    frames, bands = features.shape
    heard = np.concatenate((np.zeros((decoding["lead"], bands), "float32"), features))
    behind = np.zeros(bands, "float32")
    if decoding["ends"]:
        rows = len(heard) // stride + 1 + decoding["delay"]
        runs = -(-rows * stride // shift)
    else:
        runs = -(-(len(heard) + decoding["tail"]) // shift)
        if not decoding["expected"]:
            silence = rows_of(np.zeros(4 * settings["window"], "float32"), settings)
            behind = silence[-1].astype("float32")
    runs = max(runs, 1 + (len(heard) - chunk) // shift) if frames else 0
    missing = max(0, chunk + (runs - 1) * shift - len(heard))
    whole = np.concatenate((heard, np.repeat(behind[None], missing, axis=0)))
    for start in range(0, runs * shift, shift):
        own = min(chunk, max(0, len(heard) - start)) if decoding["ends"] else chunk
        yield whole[start : start + chunk], own


def runs_of(model, waveform):
    """What the first graph gives for each chunk; its states go from one to the next."""
    sessions, labels, settings, decoding = model
    graph = decoding["graphs"][0]
    states = {
        s["input"]: np.full([1 if n == "batch" else n for n in s["shape"]], s["value"], s["type"])
        for s in graph["states"]
    }
    for features, own in chunks_of(waveform, settings, decoding):
        feed = {"features": features[None], "lengths": np.array([own], "int64"), **states}
        made = run(sessions[graph["role"]], feed)
        states = {s["input"]: made[s["output"]] for s in graph["states"]}
        yield made


'''

_LABELS = '''\
def recognise(model, waveform):
    """The likeliest label of each row, as the chunks come in; repeats and blanks are left out."""
    sessions, labels, settings, decoding = model
    late, last, tokens, scores = decoding["delay"], labels["blank"], [], []
    for made in runs_of(model, waveform):
        rows = made["log_probs"][0]
        own = int(made["output_lengths"][0]) if "output_lengths" in made else len(rows)
        first = min(late, len(rows))
        late -= first
        for row in rows[first : first + own]:
            label = int(row.argmax())
            scores.append(float(row[label]))
            if label not in (last, labels["blank"]):
                tokens.append(label)
            last = label
    return tokens, scores


'''

_FRAMES = '''\
def encoded_frames(model, waveform):
    """(frames, width) of a clip, as the chunks come in."""
    for made in runs_of(model, waveform):
        rows = made["encoded"][0]
        yield from rows[: int(made["encoded_lengths"][0])] if "encoded_lengths" in made else rows


'''

# By the ``kind`` of the front end.
_FEATURES = {
    "log-mel": _HTK_FILTERS + _OWN_ROWS + _NORMALISED,
    "kaldi-fbank": _HTK_FILTERS + _KALDI_ROWS + _AS_THEY_ARE,
    "nemo-log-mel": _NEMO_ROWS + _NORMALISED,
    "nemo-log-mel-raw": _NEMO_ROWS + _AS_THEY_ARE,
}
#: Kinds of front ends whose features the example makes in NumPy.
FRONTENDS = tuple(_FEATURES)


def labels_in_chunks(frontend: str) -> str:
    """Steps of a CTC model, behind the one that runs a session.

    Args:
        frontend: one of :data:`FRONTENDS`.
    """
    return _FEATURES[frontend] + _HEARD + _LABELS


def encoded_in_chunks(frontend: str) -> str:
    """What stands in a transducer's steps for the encoder of whole clips.

    Args:
        frontend: one of :data:`FRONTENDS`.
    """
    return _FEATURES[frontend] + _HEARD + _FRAMES
