"""Dropout by random bytes."""

from __future__ import annotations

import pytest
import torch

from quantkit.models.dropout import Dropout, replace_dropout


def dropped_ones(probability: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    torch.manual_seed(0)
    return Dropout(probability).train()(torch.ones(10, 100, 101, dtype=dtype))


@pytest.mark.parametrize("probability", [0.1, 0.25, 0.5])
def test_the_asked_share_is_zero(probability: float) -> None:
    zeros = float((dropped_ones(probability) == 0).float().mean())
    assert zeros == pytest.approx(probability, abs=0.005)


def test_the_mean_stays() -> None:
    assert float(dropped_ones(0.3).mean()) == pytest.approx(1.0, abs=0.01)


def test_each_byte_of_a_number_is_uniform() -> None:
    by_place = (dropped_ones(0.5).flatten()[: 8 * 12_000] == 0).view(-1, 8).float().mean(0)
    assert by_place.tolist() == pytest.approx([0.5] * 8, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_type_stays(dtype: torch.dtype) -> None:
    assert dropped_ones(0.1, dtype).dtype == dtype


def test_the_same_seed_drops_the_same() -> None:
    assert torch.equal(dropped_ones(0.2), dropped_ones(0.2))


def test_the_gradient_is_the_mask() -> None:
    torch.manual_seed(0)
    x = torch.ones(64, requires_grad=True)
    y = Dropout(0.5).train()(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("probability", [0.0, 0.0001, 1.0])
def test_never_and_always(probability: float) -> None:
    x = torch.ones(1000)
    kept = Dropout(probability).train()(x)
    assert torch.equal(kept, torch.zeros(1000) if probability == 1.0 else kept)
    assert float(kept.mean()) == pytest.approx(0.0 if probability == 1.0 else 1.0, abs=0.01)


def test_nothing_is_dropped_in_use() -> None:
    x = torch.randn(100)
    assert torch.equal(Dropout(0.5).eval()(x), x)


def test_it_takes_the_place_of_pytorchs_own_and_of_nothing_else() -> None:
    inner = torch.nn.Sequential(torch.nn.Dropout(0.25), torch.nn.AlphaDropout(0.5))
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), inner)
    names = list(model.state_dict())
    replace_dropout(model)
    assert [type(each) for each in inner] == [Dropout, torch.nn.AlphaDropout]
    assert inner[0].p == 0.25
    assert list(model.state_dict()) == names
