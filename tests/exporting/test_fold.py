"""Folding batch norm changes the parameters and not the function."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from quantkit.exporting.fold import fold_batch_norm  # noqa: E402
from quantkit.models.batch_norm import fold_pair  # noqa: E402
from quantkit.models.wav2letter import Wav2Letter  # noqa: E402


def test_folded_model_computes_the_same(model: Wav2Letter) -> None:
    features, lengths = torch.randn(3, 80, 40), torch.tensor([80, 41, 7])
    with torch.no_grad():
        expected, _ = model(features, lengths)
        folded, _ = fold_batch_norm(model)(features, lengths)
    torch.testing.assert_close(folded, expected, rtol=1e-5, atol=1e-5)


def test_folded_model_has_no_norm_left_and_the_source_is_unchanged(model: Wav2Letter) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    folded = fold_batch_norm(model)
    assert not folded.config.batch_norm
    assert not any("norm" in name for name in folded.state_dict())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_pair_is_exact_in_double() -> None:
    conv = torch.nn.Conv1d(4, 6, 5, padding=2, bias=False).double()
    norm = torch.nn.BatchNorm1d(6, affine=False).double().eval()
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(1e-3, 2)
    x = torch.randn(2, 4, 9, dtype=torch.float64)
    weight, bias = fold_pair(conv, norm)
    with torch.no_grad():
        expected = norm(conv(x))
    found = torch.nn.functional.conv1d(x, weight.double(), bias.double(), padding=2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
