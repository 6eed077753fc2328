from __future__ import annotations

import pytest
import torch
from torch import nn

from quantkit.training.optimizers import Schedule, make_optimizer, one_cycle
from quantkit.training.recipe import OptimizerName, OptimizerSettings


def test_one_cycle_rises_to_its_peak_and_falls_to_a_hundredth() -> None:
    assert one_cycle(0.05, 0.1) == pytest.approx(0.5)
    assert one_cycle(0.1, 0.1) == pytest.approx(1.0)
    assert one_cycle(0.55, 0.1) == pytest.approx(0.505)
    assert one_cycle(1.0, 0.1) == pytest.approx(0.01)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_every_optimizer_goes_downhill(name: OptimizerName) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    settings = OptimizerSettings(name, learning_rate=0.05, weight_decay=0.0)
    optimizer = make_optimizer(model, settings)
    inputs, wanted = torch.randn(64, 4), torch.randn(64, 1)
    losses = []
    for _ in range(30):
        loss = ((model(inputs) - wanted) ** 2).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]


def test_biases_are_not_decayed() -> None:
    optimizer = make_optimizer(nn.Linear(4, 2), OptimizerSettings(weight_decay=0.3))
    decays = {group["weight_decay"]: group["params"] for group in optimizer.param_groups}
    assert [p.ndim for p in decays[0.3]] == [2]
    assert [p.ndim for p in decays[0.0]] == [1]


def test_plateau_lowers_the_rate_when_validation_stands_still_and_survives_a_resume() -> None:
    settings = OptimizerSettings("adam", 1e-2, schedule="plateau", plateau_patience=1)
    optimizer = make_optimizer(nn.Linear(2, 1), settings)
    schedule = Schedule(optimizer, settings, steps=100)
    for error in (1.0, 1.0):
        schedule.after_validation(error)
    state = schedule.state_dict()
    resumed = Schedule(optimizer, settings, steps=100)
    resumed.load_state_dict(state)
    assert schedule.learning_rate == pytest.approx(1e-2)
    resumed.after_validation(1.0)
    assert resumed.learning_rate == pytest.approx(1e-3)
