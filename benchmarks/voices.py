"""Low and high voices: speakers told apart by the pitch of their voice, where no table says more.

The pitch of a frame is where the autocorrelation of the windowed sound, divided by that of the
window, is highest (Boersma, "Accurate Short-Term Analysis of the Fundamental Frequency and the
Harmonics-to-Noise Ratio of a Sampled Sound", 1993, without his path through the candidates). That
of a speaker is the median over voiced frames.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.features import load_waveform
from quantkit.audio.utterance import Corpus, Utterance

RATE = 16_000
#: Hertz between which the pitch of a voice is looked for.
LOWEST, HIGHEST = 70.0, 400.0
#: Hertz below which a speaker's voice is low, and above which it is high.
LOW, HIGH = 150.0, 180.0
VOICES = {"low": "low voices", "high": "high voices"}

_FRAME, _HOP = 640, 160
# Of the sound's energy that must repeat for a frame to be voiced.
_PERIODIC = 0.6
# Of likeness, for each octave below :data:`HIGHEST`.
_OCTAVE_COST = 0.05
# Frames quieter than this part of the loudest are background.
_QUIET = 0.1
_FEWEST_FRAMES = 10


def pitches(waveform: FloatArray) -> FloatArray:
    """Pitch of each voiced frame, in hertz.

    Args:
        waveform: (samples,) at :data:`RATE`.
    """
    if waveform.size < _FRAME:
        return np.zeros(0, np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, _FRAME)[::_HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    level = np.sqrt(np.square(frames).mean(axis=1))
    frames = frames[level > _QUIET * max(float(level.max()), 1e-9)]
    window = np.hanning(_FRAME).astype(np.float32)
    shortest, longest = int(RATE / HIGHEST), int(RATE / LOWEST)
    bell = _autocorrelation(window[None])
    similar = _autocorrelation(frames * window)
    likeness = similar / np.maximum(similar[:, :1], 1e-12) / (bell / bell[:, :1])
    # What repeats after a period does so after two: of like ones, the shortest.
    octaves = np.log2(np.arange(shortest, longest + 1) / shortest)
    best = (likeness[:, shortest : longest + 1] - _OCTAVE_COST * octaves).argmax(axis=1)
    voiced = likeness[np.arange(len(best)), shortest + best] > _PERIODIC
    return np.asarray(RATE / (shortest + best[voiced]), np.float32)


def _autocorrelation(frames: FloatArray) -> FloatArray:
    power = np.square(np.abs(np.fft.rfft(frames, n=2 * _FRAME)))
    return np.asarray(np.fft.irfft(power)[:, :_FRAME])


def pitch_of(clips: Iterable[Utterance]) -> float:
    """Median pitch of a speaker; NaN if too little of the clips is voiced."""
    found = [pitches(load_waveform(clip, RATE)) for clip in clips]
    every = np.concatenate(found) if found else np.zeros(0)
    return float(np.median(every)) if every.size >= _FEWEST_FRAMES else float("nan")


def by_voice(corpus: Corpus) -> dict[str, Corpus]:
    """The clips of speakers with low voices, and of those with high ones; the rest are left out."""
    kinds: dict[str, str] = {}
    for speaker in corpus.values("speaker"):
        pitch = pitch_of(corpus.select(speaker=speaker))
        kinds[speaker] = "low" if pitch < LOW else "high" if pitch > HIGH else ""
    return {
        kind: Corpus(
            f"{corpus.name}, {title}", tuple(c for c in corpus if kinds[c.speaker] == kind)
        )
        for kind, title in VOICES.items()
    }
