from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import CorpusError
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
from quantkit.text.labels import Labels
from quantkit.training.clips import ClipPreparer
from quantkit.training.recipe import AugmentSettings
from quantkit.training.validation import ValidationScore, validate
from quantkit.training.waveforms import WaveformStore

_LABELS = Labels.english()


class _Silent(Wav2Letter):
    """Hears nothing but blanks, so that every character it was given is an error."""

    def forward(
        self, features: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        log_probs, lengths = super().forward(features, lengths)
        log_probs = torch.full_like(log_probs, -9.0)
        log_probs[..., _LABELS.blank] = 0.0
        return log_probs, lengths


def _score(folder: Path, corpora: dict[str, Corpus]) -> ValidationScore:
    model = _Silent(Wav2LetterConfig(labels=len(_LABELS), width=4, head_width=4))
    waveforms = WaveformStore([], folder, 16_000)
    preparer = ClipPreparer(
        Frontend(), _LABELS, waveforms, AugmentSettings(), lambda frames: frames // 2 + 1
    )
    return validate(model, corpora, _LABELS, preparer, torch.device("cpu"), None)


def _clip(name: str, text: str, frames: int) -> Utterance:
    features = np.zeros((frames, 40), np.float32)
    return Utterance(None, text, features=features, name=name, seconds=frames / 100)


def test_a_clip_too_short_for_its_transcript_counts_as_missed(tmp_path: Path) -> None:
    fits = _clip("fits", "", 40)
    short = _clip("short", "far too long for four frames", 4)
    score = _score(
        tmp_path, {"all dropped": Corpus("a", (short,)), "one": Corpus("b", (fits, short))}
    )
    assert score.by_source == {"all dropped": 1.0, "one": 1.0}


def test_heard_clips_count_once(tmp_path: Path) -> None:
    corpus = Corpus("a", tuple(_clip(str(i), "abc", 40 + i) for i in range(20)))
    assert _score(tmp_path, {"a": corpus}).mean == 1.0


def test_nothing_to_recognise_is_no_perfect_score(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="silence: the validation clips contain no character"):
        _score(tmp_path, {"silence": Corpus("silence", (_clip("a", "", 40),))})
