"""Which window an artifact gets: what was asked for, or the cheapest that is good enough."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.calibration.data import CalibrationData
from quantkit.errors import InputError
from quantkit.graph.artifact import read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.personalization.shorter_windows import (
    MAX_WINDOW_DIVERGENCE,
    best_window,
    set_window,
)
from quantkit.runtime.whisper.cut_windows import SHORTEST_SECONDS
from quantkit.tasks.base import WindowTrial
from quantkit.tasks.whisper import WhisperTask
from quantkit.text.decoding import WHOLE

GOOD, BAD = MAX_WINDOW_DIVERGENCE / 2, MAX_WINDOW_DIVERGENCE * 2
CLIPS = Corpus("clips", (Utterance(Path("one.wav")),))


def trial(silence: float, divergence: float, share: float) -> WindowTrial:
    return WindowTrial(silence, divergence, share, clips=10, again=1)


def prepared(task: str = "whisper") -> Any:
    return SimpleNamespace(info=ArtifactInfo(task=task), source=Path("float.onnx"))


def test_of_the_windows_that_diverge_little_the_cheapest_is_taken() -> None:
    short, long = trial(0.5, GOOD, 0.4), trial(2.0, GOOD / 2, 0.5)
    assert best_window([short, long]) == 0.5
    assert best_window([trial(0.5, BAD, 0.4), long]) == 2.0
    # One that clips are often heard again without may cost more than a longer one.
    assert best_window([trial(0.5, GOOD, 0.8), long]) == 2.0


def test_of_windows_that_cost_the_same_the_longest_is_taken() -> None:
    assert best_window([trial(0.5, GOOD, 0.4), trial(2.0, GOOD, 0.4), trial(4.0, BAD, 0.4)]) == 2.0


def test_where_none_does_windows_stay_whole() -> None:
    assert best_window([trial(0.5, BAD, 0.4), trial(4.0, BAD, 0.5)]) == WHOLE
    assert best_window([trial(4.0, GOOD, 0.95)]) == WHOLE
    assert best_window([]) == WHOLE


def test_without_a_choice_the_model_stays_as_it_is() -> None:
    model = prepared()
    assert set_window(model, CLIPS, None) == (CLIPS, ())
    assert model.info == ArtifactInfo(task="whisper")


def test_a_window_that_was_asked_for_is_taken_unheard() -> None:
    model = prepared()
    heard = CalibrationData(CLIPS, model.info)
    # What was heard through other windows is heard anew.
    assert set_window(model, heard, 2.0) == (CLIPS, ())
    assert model.info.extra == {"window": "2"}
    set_window(model, CLIPS, WHOLE)
    assert model.info.extra == {}


@pytest.mark.parametrize(
    ("trials", "extra", "words"),
    [
        (
            [trial(1.0, GOOD, 0.4)],
            {"window": "1"},
            "behind the clip, after 12 s at the earliest: 0.40 of",
        ),
        (
            [trial(1.0, BAD, 0.4)],
            {},
            f"with shorter ones, posteriors move by {BAD:.3f}",
        ),
        ([], {}, "windows stay whole: no clip is shorter than one"),
    ],
)
def test_a_window_is_found_by_listening_and_said(
    trials: list[WindowTrial],
    extra: dict[str, str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(WhisperTask, "try_windows", lambda *_: tuple(trials))
    model = prepared()
    _, (said,) = set_window(model, CLIPS, "auto")
    assert model.info.extra == extra
    assert words in said


def test_only_a_whisper_has_windows_and_they_are_found_by_audio() -> None:
    for choice in ("auto", 1.0):
        with pytest.raises(InputError, match="--window is for a Whisper; a ctc model computes"):
            set_window(prepared("ctc"), CLIPS, choice)
    with pytest.raises(InputError, match="listening to audio"):
        set_window(prepared(), [("clip", {})], "auto")


@pytest.mark.slow
def test_a_tiny_whisper_is_tried_with_each_window(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip("torch", reason="a tiny Whisper is made by PyTorch")
    from tests.whisper import exported_whisper

    model = exported_whisper(tmp_path_factory)
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    for name, seconds in (("short", 1), ("long", 31)):
        soundfile.write(tmp_path / f"{name}.wav", np.tile(noise, seconds), 16_000)
    both = tuple(Utterance(tmp_path / f"{name}.wav", language="en") for name in ("short", "long"))
    found = WhisperTask().try_windows(read_info(model), model, Corpus("noise", both))
    assert [each.silence for each in found] == [0.5, 1.0, 2.0, 4.0]
    # The long clip has whole windows, so only the short one is heard.
    assert {each.clips for each in found} == {1}
    for each in found:
        computed = SHORTEST_SECONDS / 30 + each.again
        assert each.share == pytest.approx(computed, abs=1e-3)
        assert (each.divergence == 0) == bool(each.again)
    assert WhisperTask().try_windows(read_info(model), model, Corpus("long", both[1:])) == ()
