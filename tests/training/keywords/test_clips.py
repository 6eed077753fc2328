from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2FeatureExtractor

from quantkit.audio.utterance import Utterance
from quantkit.training.keywords.clips import KeywordPreparer, normalised
from quantkit.training.keywords.recipe import AugmentSettings
from quantkit.training.keywords.speakers import open_part
from quantkit.training.recipe import Source
from quantkit.training.waveforms import WaveformStore

_CLASSES = ("high", "low", "silence")


@pytest.fixture
def clips(keyword_corpus: Path) -> tuple[Utterance, ...]:
    return open_part(Source("tones", valid_share=0.0), keyword_corpus, "train").utterances


@pytest.fixture
def preparer(clips: tuple[Utterance, ...], tmp_path: Path) -> KeywordPreparer:
    return KeywordPreparer(_CLASSES, WaveformStore(clips, tmp_path, 16_000), 16_000, 3_200)


def test_waveforms_are_normalised_as_transformers_does_it() -> None:
    waveform = np.random.default_rng(0).uniform(-0.2, 0.4, 800).astype(np.float32)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    expected = extractor(waveform, sampling_rate=16_000, return_tensors="np").input_values[0]
    np.testing.assert_allclose(normalised(waveform), expected, atol=1e-6)
    assert np.isfinite(normalised(np.zeros(800, np.float32))).all()


def test_a_plain_batch_names_each_clips_class(
    preparer: KeywordPreparer, clips: tuple[Utterance, ...]
) -> None:
    batch = preparer.plain_batch(clips[:6])
    assert batch.waveforms.shape == (6, 3_200)
    names = [_CLASSES[i] for i in batch.targets.argmax(dim=1).tolist()]
    assert names == [u.text for u in clips[:6]]
    assert torch.equal(batch.targets.sum(dim=1), torch.ones(6))


def test_mixed_clips_have_mixed_targets(
    preparer: KeywordPreparer, clips: tuple[Utterance, ...]
) -> None:
    settings = AugmentSettings(mixup_probability=1.0, mixup_alpha=5.0)
    mixing = replace(preparer, augment=settings)
    batch = mixing.training_batch(clips[:12], np.random.default_rng(0))
    assert batch is not None
    assert torch.allclose(batch.targets.sum(dim=1), torch.ones(12))
    assert bool(((batch.targets > 0).sum(dim=1) == 2).any())


def test_the_same_generator_gives_the_same_batch(
    preparer: KeywordPreparer, clips: tuple[Utterance, ...]
) -> None:
    with_noise = replace(preparer, backgrounds=tuple(u for u in clips if u.text == "silence"))
    first, second = (
        with_noise.training_batch(clips[:4], np.random.default_rng(3)) for _ in range(2)
    )
    assert first is not None
    assert second is not None
    assert torch.equal(first.waveforms, second.waveforms)


def test_clips_that_cannot_be_read_are_left_out(
    preparer: KeywordPreparer, clips: tuple[Utterance, ...], tmp_path: Path
) -> None:
    missing = Utterance(tmp_path / "none.wav", "low")
    rng = np.random.default_rng(0)
    assert preparer.training_batch([missing], rng) is None
    batch = preparer.training_batch([missing, clips[0]], rng)
    assert batch is not None
    assert len(batch.waveforms) == 1
