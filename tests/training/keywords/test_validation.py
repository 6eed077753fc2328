from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from quantkit.audio.utterance import Utterance
from quantkit.errors import CorpusError
from quantkit.training.keywords.clips import KeywordPreparer
from quantkit.training.keywords.speakers import open_part
from quantkit.training.keywords.validation import Accuracy, measure_accuracy
from quantkit.training.recipe import Source
from quantkit.training.waveforms import WaveformStore


class _AlwaysLow(nn.Module):
    """Says `low`, the second class, whatever it hears."""

    def forward(self, waveforms: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.tensor([[0.0, 1.0, 0.0]]).repeat(len(waveforms), 1))


def _preparer(clips: tuple[Utterance, ...], folder: Path) -> KeywordPreparer:
    store = WaveformStore(clips, folder, 16_000)
    return KeywordPreparer(("high", "low", "silence"), store, 16_000, 3_200)


def test_every_class_is_counted_on_its_own(keyword_corpus: Path, tmp_path: Path) -> None:
    clips = open_part(Source("tones", valid_share=0.0), keyword_corpus, "train").utterances
    accuracy = measure_accuracy(_AlwaysLow(), clips, _preparer(clips, tmp_path))
    assert accuracy.by_class == {"high": 0.0, "low": 1.0, "silence": 0.0}
    assert accuracy.mean == pytest.approx(60 / 150)
    low, high = accuracy.interval
    assert low < accuracy.mean < high
    assert accuracy.summary == "accuracy 40.0% (least high 0.0%)"


def test_a_clip_that_cannot_be_read_counts_as_missed(keyword_corpus: Path, tmp_path: Path) -> None:
    good = Utterance(keyword_corpus / "low0.wav", "low")
    missing = Utterance(tmp_path / "none.wav", "low")
    preparer = _preparer((good, missing), tmp_path)
    assert measure_accuracy(_AlwaysLow(), (good, missing), preparer).mean == 0.5
    with pytest.raises(CorpusError, match="no clip to classify"):
        measure_accuracy(_AlwaysLow(), (), preparer)


def test_the_interval_is_over_clips() -> None:
    few, many = (Accuracy({"a": (True, False) * n}).interval for n in (10, 1_000))
    assert few[1] - few[0] > 4 * (many[1] - many[0])
