"""A small Wav2Letter with batch norm statistics that are not the identity."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig  # noqa: E402
from quantkit.text.labels import Labels  # noqa: E402


@pytest.fixture(scope="session")
def labels() -> Labels:
    return Labels.english()


@pytest.fixture(scope="session")
def model() -> Wav2Letter:
    torch.manual_seed(0)
    model = Wav2Letter(Wav2LetterConfig(labels=29, width=12, head_width=24, batch_norm=True))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.01, 0.5)
    return model.eval()
