"""Clips in which the float model hears nothing are refused, if there are no others."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from quantkit.arrays import Array
from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.calibration.data import CalibrationData
from quantkit.calibration.heard import doubts, require_heard
from quantkit.errors import CorpusError
from quantkit.graph.info import ArtifactInfo
from quantkit.text.labels import Labels

#: Blank, unless the first feature is above 1.
MODEL = onnx.parser.parse_model(
    """
    <ir_version: 8, opset_import: ["" : 18]>
    g (float[1, T, 3] features) => (float[1, T, 3] log_probs)
      <float[3] bias = {1, 0, 0}>
    { moved = Sub (features, bias)  swapped = Neg (moved)  log_probs = LogSoftmax (swapped) }
    """
)
CTC = ArtifactInfo(labels=Labels(("_", "a", "b")), task="ctc")
KEYWORDS = ArtifactInfo(classes=("_silence_", "yes", "no"), task="classification")


def feed(*first: float) -> dict[str, Array]:
    frames = [[value, 2.0, 2.0] for value in first]
    return {"features": np.array([frames], np.float32)}


SILENT, SPOKEN = feed(0.0, 0.0), feed(0.0, 9.0)


def test_one_clip_with_text_is_enough() -> None:
    require_heard(MODEL, CalibrationData.of([("a", SILENT), ("b", SPOKEN)], CTC))


def test_no_more_clips_are_run_than_needed() -> None:
    given = []

    def clips():
        for name, inputs in (("a", SPOKEN), ("b", SILENT)):
            given.append(name)
            yield name, inputs

    class Once(CalibrationData):
        def __iter__(self):
            return clips()

    feeds = Once((), CTC)
    require_heard(MODEL, feeds)
    require_heard(MODEL, feeds)
    assert given == ["a"]


def test_clips_without_any_text_are_refused() -> None:
    feeds = CalibrationData.of([("a", SILENT), ("b", SILENT)], CTC)
    with pytest.raises(CorpusError, match="float32 model writes nothing for all 2 clips"):
        require_heard(MODEL, feeds)
    with pytest.raises(CorpusError, match="writes nothing for the only clip"):
        require_heard(MODEL, CalibrationData.of([("a", SILENT)], CTC))


def test_the_class_of_silence_is_nothing() -> None:
    one_frame = [("a", feed(0.0))]
    with pytest.raises(CorpusError, match="answers '_silence_' for the only clip"):
        require_heard(MODEL, CalibrationData.of(one_frame, KEYWORDS))
    named = ArtifactInfo(classes=("stop", "yes", "no"), task="classification")
    require_heard(MODEL, CalibrationData.of(one_frame, named))


def test_nothing_is_refused_where_outputs_have_no_meaning() -> None:
    require_heard(MODEL, CalibrationData.of([("a", SILENT)], ArtifactInfo(task="ctc")))


def noise(name: str, changing: bool) -> Utterance:
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000)
    if changing:
        samples[:8_000] *= 0.1
    return Utterance(None, name=name, waveform=samples.astype(np.float32), sample_rate=16_000)


def feeds_of(*changing: bool, info: ArtifactInfo = CTC) -> CalibrationData:
    clips = tuple(noise(f"{i}.wav", each) for i, each in enumerate(changing))
    known = ArtifactInfo(
        labels=info.labels, classes=info.classes, task=info.task, frontend=Frontend()
    )
    feeds = CalibrationData(Corpus("noise", clips), known)
    assert feeds.clips == len(clips)
    return feeds


def test_noise_is_named() -> None:
    assert doubts(feeds_of(True, True)) == ()
    (some,) = doubts(feeds_of(True, False))
    assert some == (
        "1 of 2 clips do not change their level as speech does: they are noise or tones. "
        "The first: 1.wav."
    )
    (only,) = doubts(feeds_of(False, False))
    assert only.startswith("No clip changes its level as speech does")


def test_a_classifier_may_have_a_class_of_noise() -> None:
    assert doubts(feeds_of(True, False, info=KEYWORDS)) == ()
    assert len(doubts(feeds_of(False, info=KEYWORDS))) == 1


def test_silent_clips_are_left_out_and_named() -> None:
    silent = Utterance(
        None, name="muted.wav", waveform=np.zeros(16_000, np.float32), sample_rate=16_000
    )
    info = ArtifactInfo(labels=CTC.labels, task="ctc", frontend=Frontend())
    feeds = CalibrationData(Corpus("some", (noise("a.wav", True), silent)), info)
    assert feeds.clips == 1
    assert feeds.skipped == ["muted.wav: it is silent: all samples are 0"]
    with pytest.raises(CorpusError, match="none of 1 clips is usable"):
        _ = CalibrationData(Corpus("muted", (silent,)), info).clips
