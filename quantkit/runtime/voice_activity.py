"""Where somebody speaks in a recording, by Silero's voice activity detector.

The detector is the ``.onnx`` in the package ``silero-vad`` (extra ``vad``), which is found without
being imported. It hears 32 ms at a time and gives the probability of speech. Speech begins where
that is high, ends where it has been low for a while, and is cut at the quietest place where nobody
pauses for long.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from quantkit.arrays import FloatArray
from quantkit.errors import MissingDependencyError
from quantkit.runtime.session import open_session, session_options
from quantkit.runtime.speech_model import run_session

#: Of the audio that the detector hears, in hertz.
SAMPLE_RATE = 16_000

_PACKAGE, _FILE = "silero_vad", "data/silero_vad.onnx"
# Samples that it hears at a time, behind so many of those before.
_CHUNK, _CONTEXT = 512, 64
_STATE = (2, 1, 128)

# Speech begins at the one probability and goes on down to the other.
_BEGIN, _GO_ON = 0.5, 0.35
# Shorter pauses are a part of speech; shorter sounds are none.
_PAUSE_SECONDS, _SPEECH_SECONDS = 0.5, 0.25
# Left around speech, so that soft beginnings and ends are heard.
_MARGIN_SECONDS = 0.2


@dataclass(frozen=True)
class Stretch:
    """Where somebody speaks.

    Args:
        start, end: seconds in the recording.
    """

    start: float
    end: float


class VoiceActivity:
    """The detector, ready to run.

    Args:
        session: of its graph.
        longest: seconds of a stretch; speech that goes on for longer is cut.
    """

    def __init__(self, session: onnxruntime.InferenceSession, longest: float) -> None:
        self._session = session
        self.longest = longest

    @classmethod
    def load(cls, longest: float = 28.0) -> VoiceActivity:
        """Open the detector of the package ``silero-vad``.

        Raises:
            MissingDependencyError: it is not installed.
            ModelError: its graph does not load.
        """
        return cls(open_session(_detector(), session_options(1)), longest)

    def stretches(self, blocks: Iterable[FloatArray]) -> list[Stretch]:
        """Where somebody speaks, in order; none overlap.

        Args:
            blocks: (samples,) each of 16 kHz, together one recording. One is in memory at a time.

        Raises:
            AudioError: the recording cannot be read.
            ModelError: the detector fails.
        """
        samples = 0
        found: list[float] = []
        state, context = np.zeros(_STATE, np.float32), np.zeros(_CONTEXT, np.float32)
        for chunk, count in _chunks(blocks):
            samples += count
            heard = np.concatenate((context, chunk))[None]
            feed = {"input": heard, "state": state, "sr": np.array(SAMPLE_RATE)}
            speech, state = run_session(self._session, ["output", "stateN"], feed)
            found.append(float(speech[0, 0]))
            context = chunk[-_CONTEXT:]
        return stretches_of(found, samples / SAMPLE_RATE, self.longest)


def stretches_of(
    speech: Sequence[float], seconds: float, longest: float, step: float = _CHUNK / SAMPLE_RATE
) -> list[Stretch]:
    """Where somebody speaks, from the probability of speech in each step.

    >>> stretches_of([0.1, 0.9, 0.9, 0.1], seconds=4, longest=30, step=1)
    [Stretch(start=0.8, end=3.2)]

    Args:
        seconds: of the recording.
        longest: seconds of a stretch.
        step: seconds of each step.
    """
    runs = [
        (begin, end)
        for begin, end in _without_short_pauses(_runs(speech), _PAUSE_SECONDS / step)
        if (end - begin) * step >= _SPEECH_SECONDS
    ]
    cut = [part for begin, end in runs for part in _cut(speech, begin, end, longest / step)]
    found: list[Stretch] = []
    for place, (begin, end) in enumerate(cut):
        # What lies between two stretches is shared by their margins.
        before = cut[place - 1][1] if place else -np.inf
        behind = cut[place + 1][0] if place + 1 < len(cut) else np.inf
        start = max(begin * step - _MARGIN_SECONDS, (before + begin) * step / 2, 0.0)
        stop = min(end * step + _MARGIN_SECONDS, (end + behind) * step / 2, seconds)
        found.append(Stretch(round(start, 3), round(stop, 3)))
    return found


def _runs(speech: Sequence[float]) -> Iterator[tuple[int, int]]:
    """First step, and the one behind the last, of all that is speech."""
    begin: int | None = None
    for at, probability in enumerate(speech):
        if begin is None and probability >= _BEGIN:
            begin = at
        elif begin is not None and probability < _GO_ON:
            yield begin, at
            begin = None
    if begin is not None:
        yield begin, len(speech)


def _without_short_pauses(
    runs: Iterable[tuple[int, int]], shortest: float
) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for begin, end in runs:
        if found and begin - found[-1][1] < shortest:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found


def _cut(
    speech: Sequence[float], begin: int, end: int, longest: float
) -> Iterator[tuple[int, int]]:
    """A run in parts that are not too long, each cut where speech is least likely."""
    most = max(2, int(longest))
    while end - begin > most:
        # Not near the beginning, so that no part is a word.
        first = begin + most // 2
        at = first + int(np.argmin(speech[first : begin + most]))
        at = max(at, begin + 1)
        yield begin, at
        begin = at
    yield begin, end


def _chunks(blocks: Iterable[FloatArray]) -> Iterator[tuple[FloatArray, int]]:
    """Blocks cut anew, the last with silence behind it, and how many samples are not that."""
    rest = np.zeros(0, np.float32)
    for block in blocks:
        rest = np.concatenate((rest, block.astype(np.float32, copy=False)))
        whole = len(rest) // _CHUNK * _CHUNK
        for at in range(0, whole, _CHUNK):
            yield rest[at : at + _CHUNK], _CHUNK
        rest = rest[whole:]
    if len(rest):
        yield np.pad(rest, (0, _CHUNK - len(rest))), len(rest)


def _detector() -> Path:
    # Importing the package would import PyTorch, which nothing here needs.
    found = importlib.util.find_spec(_PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / _FILE
        if path.is_file():
            return path
    raise MissingDependencyError(
        "finding pauses needs the package silero-vad: pip install 'quantkit[vad]'"
    )
