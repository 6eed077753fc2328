"""Utterances become features, one at a time; what cannot is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.audio.decode import read_audio
from quantkit.audio.features import iter_features, load_features
from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import AudioError, CorpusError


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


class TestLoadFeatures:
    def test_audio_passes_through_the_front_end_at_its_rate(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.wav"
        soundfile.write(path, tone(1.0, 44_100), 44_100)
        features = load_features(Utterance(path), Frontend())
        assert features.shape == (98, 40)
        np.testing.assert_array_equal(features, Frontend()(read_audio(path)))

    def test_ready_made_features_are_handed_out_as_they_are(self) -> None:
        features = np.ones((5, 40), np.float32)
        assert load_features(Utterance(None, features=features), Frontend()) is features

    @pytest.mark.parametrize(
        ("features", "message"),
        [
            (np.ones((5, 13), np.float32), r"shape \(5, 13\); the front end needs \(frames, 40\)"),
            (np.ones(40, np.float32), r"shape \(40,\)"),
            (np.ones((0, 40), np.float32), "no frame"),
            (np.full((5, 40), np.nan, np.float32), "not finite"),
        ],
    )
    def test_unusable_features(self, features: np.ndarray, message: str) -> None:
        with pytest.raises(AudioError, match=message):
            load_features(Utterance(None, features=features, name="dev.npy[3]"), Frontend())

    def test_a_clip_shorter_than_a_window_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.wav"
        soundfile.write(path, tone(0.02, 16_000), 16_000)
        with pytest.raises(AudioError, match=r"clip\.wav: .*shorter than one window"):
            load_features(Utterance(path), Frontend())

    def test_nothing_to_load(self) -> None:
        with pytest.raises(AudioError, match="ghost has neither"):
            load_features(Utterance(None, name="ghost"), Frontend())


class TestIterFeatures:
    def test_broken_clips_are_skipped_and_named(self, tmp_path: Path) -> None:
        good, bad = tmp_path / "good.wav", tmp_path / "bad.wav"
        soundfile.write(good, tone(0.5, 16_000), 16_000)
        bad.write_text("no sound")
        corpus = Corpus("c", (Utterance(bad), Utterance(good)))
        skipped: list[str] = []
        usable = [(u.path, f.shape) for u, f in iter_features(corpus, Frontend(), skipped)]
        assert usable == [(good, (48, 40))]
        assert len(skipped) == 1
        assert skipped[0].startswith(str(bad))

    def test_nothing_usable_is_an_error(self, tmp_path: Path) -> None:
        corpus = Corpus("calls", tuple(Utterance(tmp_path / f"{i}.wav") for i in range(3)))
        with pytest.raises(CorpusError, match=r"calls: none of 3 clips is usable; .*0\.wav"):
            list(iter_features(corpus, Frontend()))
