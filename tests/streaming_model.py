"""A Wav2Letter in small, for whole clips and for chunks."""

from __future__ import annotations

from pathlib import Path

import torch

from quantkit.audio.frontend import Frontend
from quantkit.exporting.streaming import export_streaming_wav2letter
from quantkit.exporting.to_onnx import export_wav2letter
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
from quantkit.text.labels import Labels

LABELS = Labels(("_", " ", "a", "b", "c", "d"))
FRONTEND = Frontend()
#: Seconds of a chunk.
CHUNK = 0.16


def network(seed: int = 0) -> Wav2Letter:
    """With random weights, and statistics of batch norm that are not those of a new one."""
    torch.manual_seed(seed)
    config = Wav2LetterConfig(
        labels=len(LABELS), width=12, head_width=16, dropout=0.0, batch_norm=True
    )
    model = Wav2Letter(config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.3, 0.6)
    # Labels that are sure enough to be read.
    with torch.no_grad():
        model.output.weight *= 4.0
    return model.eval()


def write_both(folder: Path) -> None:
    """``whole.onnx`` and ``stream.onnx``."""
    model = network()
    export_wav2letter(model, LABELS, FRONTEND, folder / "whole.onnx", name="small")
    export_streaming_wav2letter(
        model, LABELS, FRONTEND, folder / "stream.onnx", CHUNK, name="small"
    )
