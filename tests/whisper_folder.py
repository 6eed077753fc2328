"""A tiny Whisper of onnx-community, with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.merged_folders import WIDTH, Decoder, write_graphs
from tests.once import made_once
from tests.whisper import TOKENS, write_vocabulary

BANDS, FRAMES = 80, 3_000


class Encoder(nn.Module):
    """(clips, mel_bands, frames) to (clips, frames / 2, width)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(BANDS, WIDTH, 3, 2, padding=1)
        self.dense = nn.Linear(WIDTH, WIDTH)

    def forward(self, features: Tensor) -> Tensor:
        hidden = functional.gelu(self.conv(features)).transpose(1, 2)
        return functional.layer_norm(hidden + self.dense(hidden), (WIDTH,))


def write_whisper_folder(folder: Path, seed: int = 0) -> Path:
    """Graphs, vocabulary and settings."""
    torch.manual_seed(seed)
    encoder, decoder = Encoder().eval(), Decoder(TOKENS).eval()
    with torch.no_grad():
        decoder.embed.weight.mul_(0.2)
    write_graphs(folder, encoder, torch.zeros(3, BANDS, FRAMES), "input_features", decoder)
    write_vocabulary(folder)
    return folder


def whisper_folder(factory: pytest.TempPathFactory) -> Path:
    """Such a folder, made once for all tests."""
    made = made_once(factory, "whisper-folder", lambda path: write_whisper_folder(path / "tiny"))
    return made / "tiny"
