"""Rounding of weights, and its gradient."""

from __future__ import annotations

import pytest
import torch

from quantkit.finetuning.rounding import codes_of, straight_through


@pytest.mark.parametrize("borders", [1, 3, 15, 16, 255])
def test_codes_are_those_of_a_search(borders: int) -> None:
    random = torch.Generator().manual_seed(0)
    values = torch.randn(7, 50, generator=random)
    rows = torch.sort(torch.randn(7, borders, generator=random)).values
    # On a border, too, and where two are the same.
    values[:, 0], values[:, 1] = rows[:, 0], rows[:, -1]
    rows[0] = rows[0, 0]
    assert torch.equal(codes_of(values, rows), torch.searchsorted(rows, values))


def test_levels_pass_and_gradients_end_beyond_the_bounds() -> None:
    values = torch.tensor([-3.0, -1.5, 0.2, 1.5, 1.6], requires_grad=True)
    levels = torch.tensor([-1.0, -1.0, 0.0, 1.0, 1.0], requires_grad=True)
    found = straight_through(values, levels, torch.tensor(-1.5), torch.tensor(1.5))
    assert torch.equal(found, levels)
    (found * torch.arange(1.0, 6.0)).sum().backward()
    assert values.grad.tolist() == [0.0, 2.0, 3.0, 4.0, 0.0]
    assert levels.grad.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_bounds_may_differ_by_weight() -> None:
    values = torch.tensor([[1.0, 1.0]], requires_grad=True)
    bounds = torch.tensor([[0.5, 2.0]])
    straight_through(values, torch.zeros(1, 2), -bounds, bounds).sum().backward()
    assert values.grad.tolist() == [[0.0, 1.0]]
