"""Long clips in pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.audio.features import feature_windows, load_features, waveform_windows
from quantkit.audio.frontend import Frontend
from quantkit.audio.frontends import AnyFrontend, features_of_blocks
from quantkit.audio.utterance import Utterance
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.audio.windows import pieces, whole_or_blocks
from quantkit.errors import AudioError

RATE = 16_000


def noise(seconds: float) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32)


def written(path: Path, samples: np.ndarray, subtype: str = "FLOAT") -> Utterance:
    soundfile.write(path, samples, RATE, subtype=subtype)
    return Utterance(path, name=path.name)


@pytest.mark.parametrize(
    ("steps", "sizes"),
    [(0, []), (40, [40]), (41, [30, 11]), (100, [30, 30, 40]), (101, [30, 30, 30, 11])],
)
@pytest.mark.parametrize("block", [1, 7, 1_000])
def test_pieces_are_the_same_steps(steps: int, sizes: list[int], block: int) -> None:
    clip = np.arange(steps, dtype=np.float32)
    blocks = (clip[start : start + block] for start in range(0, steps, block))
    found = [*pieces(blocks, longest=40, size=30)]
    assert [len(piece) for piece in found] == sizes
    np.testing.assert_array_equal(np.concatenate([*found, np.zeros(0)]), clip)


def test_a_short_clip_stays_whole_and_a_long_one_comes_in_blocks() -> None:
    clip = np.arange(50, dtype=np.float32)
    short = whole_or_blocks(iter([clip[:20], clip[20:40]]), 40)
    assert isinstance(short, np.ndarray)
    long = whole_or_blocks(iter([clip[:20], clip[20:45], clip[45:]]), 40)
    assert not isinstance(long, np.ndarray)
    np.testing.assert_array_equal(np.concatenate([*long]), clip)


def test_windows_of_a_clip_have_names_of_their_own(tmp_path: Path) -> None:
    samples = noise(75)
    clip = written(tmp_path / "long.wav", samples)
    found = dict(waveform_windows(clip, RATE))
    assert [*found] == ["long.wav", "long.wav from 30 s on", "long.wav from 60 s on"]
    np.testing.assert_array_equal(np.concatenate([*found.values()]), samples)


def test_a_clip_of_forty_seconds_is_no_long_one(tmp_path: Path) -> None:
    clip = written(tmp_path / "clip.wav", noise(40))
    ((name, features),) = feature_windows(clip, Frontend())
    assert name == "clip.wav"
    np.testing.assert_array_equal(features, load_features(clip, Frontend()))


def test_no_piece_of_a_clip_that_is_damaged_further_on(tmp_path: Path) -> None:
    samples = noise(75)
    samples[-5] = np.nan
    clip = written(tmp_path / "long.wav", samples)
    with pytest.raises(AudioError, match="not finite"):
        next(waveform_windows(clip, RATE))


def test_ready_made_features_are_cut_too() -> None:
    features = np.zeros((7_000, 40), np.float32)
    found = feature_windows(Utterance(None, features=features, name="dev.npy[3]"), Frontend())
    assert [len(each) for _, each in found] == [3_000, 4_000]


@pytest.mark.parametrize(
    "frontend", [Frontend(), WhisperFrontend(), WhisperFrontend(mel_bands=128)]
)
@pytest.mark.parametrize("block", [1_001, 16_000, 100_000])
def test_features_of_blocks_are_those_of_the_clip(frontend: AnyFrontend, block: int) -> None:
    samples = noise(5.37)
    blocks = (samples[start : start + block] for start in range(0, len(samples), block))
    found, expected = features_of_blocks(frontend, blocks), frontend(samples)
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(AudioError, match="shorter than one window"):
        features_of_blocks(Frontend(), [np.zeros(100, np.float32)])
