"""A tiny Moonshine of onnx-community, with random weights."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.merged_folders import WIDTH, Decoder, write_graphs
from tests.once import made_once

VOCABULARY, OUTPUTS, STRIDE = 60, 64, 320
END = 2


class Encoder(nn.Module):
    """(clips, samples) to (clips, steps, width)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, WIDTH, 2 * STRIDE, STRIDE)
        self.dense = nn.Linear(WIDTH, WIDTH)

    def forward(self, waveform: Tensor) -> Tensor:
        hidden = functional.gelu(self.conv(waveform[:, None])).transpose(1, 2)
        return functional.layer_norm(hidden + self.dense(hidden), (WIDTH,))


def write_moonshine(folder: Path, seed: int = 0) -> Path:
    """A folder of onnx-community."""
    torch.manual_seed(seed)
    encoder, decoder = Encoder().eval(), Decoder(OUTPUTS).eval()
    with torch.no_grad():
        for parameter in (*encoder.parameters(), *decoder.parameters()):
            parameter.mul_(2.0)
        decoder.embed.weight.mul_(0.2)
    write_graphs(folder, encoder, torch.zeros(3, 4_007), "input_values", decoder)
    names = [
        "<unk>",
        "<s>",
        "</s>",
        "▁a",
        "▁b",
        *(chr(97 + i % 26) * (1 + i // 26) for i in range(55)),
    ]
    lines = (f"{name}\t{number}\n" for number, name in enumerate(names))
    (folder / "tokens.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def write_base64_tokens(folder: Path) -> None:
    """The same tokens as sherpa-onnx reads them."""
    names = [
        line.split("\t")[0] for line in (folder / "tokens.txt").read_text("utf-8").splitlines()
    ]
    lines = (f"{base64.b64encode(name.encode()).decode()} {i}\n" for i, name in enumerate(names))
    (folder / "tokens.txt").write_text("".join(lines), encoding="utf-8")


def moonshine_folder(factory: pytest.TempPathFactory) -> Path:
    """Such a folder, made once for all tests."""
    return made_once(factory, "moonshine", lambda folder: write_moonshine(folder / "tiny")) / "tiny"
