"""A small model with the letters of the tone corpus, and one that teaches it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from quantkit.audio.frontend import Frontend
from quantkit.models.checkpoint import save_wav2letter
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
from quantkit.text.labels import Labels
from quantkit.training.wav2vec2.settings import Wav2Vec2Settings

#: The smallest that tells the tones apart.
SMALL = Wav2Vec2Settings(
    conv_dim=(32, 32, 32),
    conv_kernel=(160, 8, 4),
    conv_stride=(40, 4, 2),
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=48,
    num_conv_pos_embeddings=8,
    num_conv_pos_embedding_groups=4,
    hidden_dropout=0.05,
)


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Wav2Letter of random weights, whose states are no less a function of the sound."""
    torch.manual_seed(3)
    labels = Labels.english()
    config = Wav2LetterConfig(40, len(labels), width=16, head_width=24, dropout=0.0)
    folder = tmp_path_factory.mktemp("teacher") / "wav2letter"
    save_wav2letter(folder, Wav2Letter(config).eval(), labels, Frontend())
    return folder
