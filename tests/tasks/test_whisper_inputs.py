"""Short clips share a window of Whisper; each is observed on the model's own text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.calibration.data import CalibrationData
from quantkit.errors import CorpusError, ModelError
from quantkit.graph.artifact import read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.whisper.cut_windows import with_window

pytest.importorskip("torch", reason="a tiny Whisper is made by PyTorch")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.whisper import exported_whisper

    return exported_whisper(tmp_path_factory)


def clips(folder: Path, *seconds: float, languages: str = "") -> Corpus:
    random = np.random.default_rng(0)
    utterances = []
    for index, length in enumerate(seconds):
        path = folder / f"{index}.wav"
        soundfile.write(path, 0.1 * random.standard_normal(int(16_000 * length)), 16_000)
        language = {"e": "en", "d": "de", "q": "qq"}[languages[index]] if languages else "en"
        utterances.append(Utterance(path, language=language, name=f"clip{index}"))
    return Corpus("noise", tuple(utterances))


def test_short_clips_share_a_window(model: Path, tmp_path: Path) -> None:
    feeds = CalibrationData(clips(tmp_path, 10, 12, 9, 5), read_info(model), model)
    assert [name for name, _ in feeds] == ["clip0 and 1 more", "clip2 and 1 more"]
    assert (feeds.clips, feeds.recordings) == (2, 4)
    assert feeds.seconds == pytest.approx(36.6, abs=0.05)
    assert feeds.computed_seconds == 60


def test_languages_do_not_share(model: Path, tmp_path: Path) -> None:
    feeds = CalibrationData(clips(tmp_path, 3, 3, 3, languages="eed"), read_info(model), model)
    inputs = dict(feeds)
    assert list(inputs) == ["clip0 and 1 more", "clip2"]
    vocabulary = read_info(model).vocabulary
    assert vocabulary is not None
    assert vocabulary.languages is not None
    assert inputs["clip2"]["tokens"][0, 1] == vocabulary.languages["de"]


def test_a_language_that_the_model_does_not_know_is_guessed_and_named(
    model: Path, tmp_path: Path
) -> None:
    feeds = CalibrationData(clips(tmp_path, 3, 3, languages="qe"), read_info(model), model)
    assert [name for name, _ in feeds] == ["clip0", "clip1"]
    assert feeds.unknown_languages == ("qq",)
    # Nothing is guessed where nothing was said.
    silent = Corpus("noise", tuple(replace(clip, language="") for clip in clips(tmp_path, 3)))
    assert CalibrationData(silent, read_info(model), model).unknown_languages == ()


def test_a_feed_is_the_window_and_the_models_own_text(model: Path, tmp_path: Path) -> None:
    (feed,) = CalibrationData(clips(tmp_path, 2), read_info(model), model)
    inputs = feed[1]
    assert inputs["features"].shape == (1, 80, 3_000)
    assert inputs["past.0.key"].shape == (1, 2, 0, 8)
    tokens, positions = inputs["tokens"][0], inputs["positions"]
    # The prompt is four tokens long; each token after it, and the end, is predicted.
    assert positions.tolist() == list(range(3, len(tokens)))


def test_a_second_round_gives_the_same(model: Path, tmp_path: Path) -> None:
    corpus = clips(tmp_path, 2, 31)
    feeds = CalibrationData(corpus, read_info(model), model)
    first = [(name, inputs["tokens"].tolist()) for name, inputs in feeds]
    assert [(name, inputs["tokens"].tolist()) for name, inputs in feeds] == first
    assert feeds.recordings == 2
    some = feeds.only([0])
    assert (some.clips, some.recordings, some.seconds) == (1, 1, pytest.approx(2.0, abs=0.02))


def test_broken_clips_are_left_out_and_nothing_at_all_is_refused(
    model: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.wav").write_bytes(b"noise")
    broken = Utterance(tmp_path / "broken.wav")
    (tmp_path / "whole").mkdir()
    whole = clips(tmp_path / "whole", 1)
    feeds = CalibrationData(Corpus("mixed", (broken, *whole)), read_info(model), model)
    assert feeds.clips == 1
    assert "broken.wav" in feeds.skipped[0]
    with pytest.raises(CorpusError, match="none of 1 clips is usable"):
        list(CalibrationData(Corpus("broken", (broken,)), read_info(model), model))


def test_clips_too_short_to_hear_are_left_out(model: Path, tmp_path: Path) -> None:
    feeds = CalibrationData(clips(tmp_path, 0.02, 1), read_info(model), model)
    assert feeds.clips == 1
    assert "0.wav: a clip of 320 samples is shorter than one window (400)" in feeds.skipped[0]


def test_clips_of_an_artifact_with_shorter_windows_are_heard_through_these(
    model: Path, tmp_path: Path
) -> None:
    info = with_window(read_info(model), 1.0)
    feeds = CalibrationData(clips(tmp_path, 13, 14), info, model)
    # What a random model says may look doubtful; then the clip is heard as a whole, as in use.
    heard = {name: inputs["features"].shape[2] for name, inputs in feeds}
    assert set(heard) == {"clip0", "clip1"}
    assert heard["clip0"] in (1_400, 3_000)
    assert heard["clip1"] in (1_500, 3_000)
    assert feeds.computed_seconds == pytest.approx(29, abs=0.05)
    # An analysis hears as much as it does of whole windows: 8 of 30 seconds are 17 of 14.5.
    assert feeds.fewest == 17


def test_the_model_itself_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="needs the path of the float model"):
        list(CalibrationData(clips(tmp_path, 1), ArtifactInfo(task="whisper")))
