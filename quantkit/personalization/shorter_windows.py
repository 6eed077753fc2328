"""The window that the artifact of a user computes for a clip: asked for, or found by listening."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import Calibration, CalibrationData
from quantkit.errors import InputError
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.whisper.cut_windows import SHORTEST_SECONDS
from quantkit.tasks.base import WindowTrial
from quantkit.tasks.catalogue import task_of
from quantkit.text.decoding import WHOLE

#: Seconds of silence behind a clip; ``auto``: found by listening; None: as the model says.
WindowChoice = float | Literal["auto"] | None

#: Nats per token by which posteriors may move away from those of whole windows. On prompts and read
#: speech, windows that move them by up to 0.028 changed the word error rate of tiny.en and base by
#: less than the noise, and hardly any clip was heard again; from 0.045 on, up to one clip in three.
MAX_WINDOW_DIVERGENCE = 0.03
# A shorter window that costs more than this share of whole ones is not worth its risk.
_LARGEST_SHARE = 0.9


def set_window(
    prepared: PreparedModel, calibration: Calibration | CalibrationData, choice: WindowChoice
) -> tuple[Calibration | CalibrationData, tuple[str, ...]]:
    """Let ``prepared`` be a model of other windows.

    Args:
        prepared: its metadata are changed.

    Returns:
        the clips, which are to be heard through the new windows; and what was found, in sentences.

    Raises:
        InputError: the model has no windows, or there is no audio to find one by.
        ModelError: it fails on a clip.
    """
    if choice is None:
        return calibration, ()
    source = calibration.source if isinstance(calibration, CalibrationData) else calibration
    task, reasons = task_of(prepared.info), list[str]()
    if choice == "auto":
        if not isinstance(source, Corpus):
            raise InputError("a window is found by listening to audio, not to ready inputs")
        trials = task.try_windows(prepared.info, prepared.source, source)
        choice = best_window(trials)
        reasons.append(_in_words(choice, trials))
    prepared.info = task.with_window(prepared.info, choice)
    return source, tuple(reasons)


def best_window(trials: Sequence[WindowTrial]) -> float:
    """Seconds of silence of the cheapest window that diverges little enough; else whole windows.

    Of those that compute equally much, it is the longest.
    """
    good = [
        trial
        for trial in trials
        if trial.divergence <= MAX_WINDOW_DIVERGENCE and trial.share <= _LARGEST_SHARE
    ]
    cheapest = min(good, key=lambda trial: (trial.share, -trial.silence), default=None)
    return WHOLE if cheapest is None else cheapest.silence


def _in_words(silence: float, trials: Sequence[WindowTrial]) -> str:
    if not trials:
        return "windows stay whole: no clip is shorter than one"
    chosen = next((trial for trial in trials if trial.silence == silence), None)
    if chosen is None:
        least = min(trial.divergence for trial in trials)
        return f"windows stay whole: with shorter ones, posteriors move by {least:.3f} nats or more"
    return (
        f"windows end {silence:g} s behind the clip, after {SHORTEST_SECONDS:g} s at the earliest: "
        f"{chosen.share:.2f} of the frames of whole "
        f"ones, {chosen.divergence:.3f} nats per token away from them; {chosen.again} of "
        f"{chosen.clips} clips are heard again as a whole"
    )
