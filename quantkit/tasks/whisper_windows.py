"""How short the windows of a Whisper may be for some unlabelled clips.

Each clip is heard through whole windows and through shorter ones, and the posteriors along the text
of the whole window are compared. A clip whose text is doubtful is heard again as a whole, as in
use: it costs both windows, and diverges by nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.features import Check
from quantkit.audio.utterance import Corpus
from quantkit.runtime.whisper.cut_windows import frames_computed
from quantkit.runtime.whisper.model import WhisperModel
from quantkit.runtime.whisper.windows import HeardWindow
from quantkit.tasks.base import WindowTrial
from quantkit.tasks.whisper_inputs import listener_of, recordings_of
from quantkit.text.decoding import WHOLE

#: Seconds of silence that are tried.
SILENCES = (0.5, 1.0, 2.0, 4.0)
# What is heard with each of them, at most.
_CLIPS = 24


@dataclass
class _Tally:
    sums: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    frames: int = 0
    again: int = 0


def tried_windows(model: Path, corpus: Corpus, check: Check) -> tuple[WindowTrial, ...]:
    """What shorter windows do to clips that fit into one; none where no clip does.

    Args:
        model: the float model.
        check: of each clip; see :meth:`~quantkit.tasks.inputs.ClipInputs.check`.

    Raises:
        ModelError: the model fails on a clip.
    """
    whisper = WhisperModel.load(model, threads=0, check=False)
    tallies = {silence: _Tally() for silence in SILENCES}
    whole_frames = 0
    for features, language in _short_clips(whisper, corpus, check):
        (whole,) = listener_of(whisper, language, WHOLE).windows(features)
        whole_frames += whole.frames
        expected = _log_probs(whisper, features, whole, whole.frames)
        for silence, tally in tallies.items():
            (cut,) = listener_of(whisper, language, silence).windows(features)
            again = cut.frames == whole.frames
            own = len(features) - whole.frames
            computed = frames_computed(whisper.listener.frontend, own, silence)
            tally.again += again
            tally.frames += computed + again * whole.frames
            found = expected if again else _log_probs(whisper, features, whole, cut.frames)
            tally.sums.append(float((np.exp(expected) * (expected - found)).sum()))
            tally.tokens.append(len(expected))
    return tuple(
        WindowTrial(
            silence,
            sum(tally.sums) / sum(tally.tokens),
            tally.frames / whole_frames,
            len(tally.sums),
            tally.again,
        )
        for silence, tally in tallies.items()
        if tally.sums
    )


def _short_clips(
    whisper: WhisperModel, corpus: Corpus, check: Check
) -> Iterator[tuple[FloatArray, str]]:
    """Features and languages of clips that are shorter than a window."""
    frontend = whisper.listener.frontend
    some = corpus.sample(_CLIPS)
    # Why a clip is left out is said where all are heard.
    for recording in recordings_of(some, frontend, [], check, shared_windows=False):
        features = frontend(recording.samples)
        if len(features) < 2 * frontend.window_frames:
            yield features, recording.language


def _log_probs(
    whisper: WhisperModel, features: FloatArray, window: HeardWindow, frames: int
) -> FloatArray:
    """(tokens, vocabulary) along the text of ``window``, after so many frames."""
    prompt = whisper.vocabulary.prompt(window.language)
    tokens = np.array([[*prompt, *window.tokens]])
    positions = np.arange(len(prompt) - 1, tokens.shape[1])
    encoded = whisper.listener.encode(features, 0, frames)
    network = whisper.network
    log_probs, _ = network.step(tokens, encoded, network.empty_memory(), positions)
    return np.asarray(log_probs[0], np.float64)
