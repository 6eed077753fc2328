"""Clips in which the float model hears nothing teach nothing about speech."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import NoReturn

import onnx

from quantkit.arrays import Array
from quantkit.audio.utterance import Corpus
from quantkit.calibration.clip_runner import ClipRunner
from quantkit.calibration.data import CalibrationData
from quantkit.errors import CorpusError
from quantkit.runtime.output_scale import posterior_output
from quantkit.tasks.inputs import Feed

_SHOWN = 60


def require_heard(model: onnx.ModelProto, feeds: CalibrationData) -> None:
    """Refuse clips if the float model hears something in none of them.

    Clips are run until it does, which is usually the first. Nothing is refused where the metadata
    do not tell what outputs mean.

    Args:
        model: float; is not changed.

    Raises:
        CorpusError: it writes nothing, or answers that nobody speaks, for every clip.
        ModelError: it fails on a clip.
    """
    if feeds.heard or feeds.task.scoring(feeds.info) is None:
        return
    task, output = feeds.task, posterior_output(model)
    said = ""
    given: list[Mapping[str, Array]] = []

    def noted() -> Iterator[Feed]:
        for clip, inputs in feeds:
            given[:] = [inputs]
            yield clip, inputs

    with closing(ClipRunner(model)) as runner:
        for _, values in runner.run([output], noted()):
            text = task.text_of(feeds.info, values[output], given[0])
            if text is None or not task.says_nothing(text):
                feeds.heard = True
                return
            said = text
    _refuse(feeds, said)


def doubts(feeds: CalibrationData) -> tuple[str, ...]:
    """What makes clips that were gone through less telling, in sentences.

    Noise and tones are known by their level; a classifier may have a class for them.
    """
    steady = feeds.steady
    if not steady or (feeds.task.unit == "clip" and len(steady) < feeds.recordings):
        return ()
    if len(steady) >= feeds.recordings:
        return (
            "No clip changes its level as speech does: they are noise or tones. What is found on "
            "them need not hold for speech.",
        )
    return (
        f"{len(steady)} of {feeds.recordings} clips do not change their level as speech does: "
        f"they are noise or tones. The first: {steady[0]}.",
    )


def _refuse(feeds: CalibrationData, said: str) -> NoReturn:
    where = f"{feeds.source.name}: " if isinstance(feeds.source, Corpus) else ""
    answer = f"answers {said[:_SHOWN]!r}" if said.strip() else "writes nothing"
    one = feeds.clips == 1
    clips = "the only clip: it is" if one else f"all {feeds.clips} clips: they are"
    raise CorpusError(
        f"{where}the float32 model {answer} for {clips} silent, without speech, or of another kind "
        "than the model knows, and nothing can be learnt from that"
    )
