from __future__ import annotations

import torch
from torch import nn

from quantkit.training.averaging import WeightAverage


def _model(value: float) -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for parameter in model.parameters():
        nn.init.constant_(parameter, value)
    return model


def test_it_begins_as_the_model_and_follows_it() -> None:
    model = _model(0.0)
    average = WeightAverage(model, 0.9)
    nn.init.constant_(model[0].weight, 1.0)
    seen = []
    for _ in range(200):
        average.update(model)
        seen.append(average.model[0].weight[0, 0].item())
    assert seen == sorted(seen)
    assert 0.0 < seen[0] < 1.0
    assert abs(seen[-1] - 1.0) < 1e-4


def test_statistics_are_averaged_and_counters_copied() -> None:
    model = _model(1.0)
    average = WeightAverage(model, 0.5)
    model.train()(torch.full((4, 2), 3.0) + torch.arange(4.0)[:, None])
    average.update(model)
    assert int(average.model[1].num_batches_tracked) == 1
    moved = float(average.model[1].running_mean[0])
    assert 0.0 < moved < float(model[1].running_mean[0])


def test_it_can_be_taken_up_again() -> None:
    model = _model(1.0)
    average = WeightAverage(_model(0.0), 0.9)
    average.update(model)
    other = WeightAverage(_model(0.5), 0.9)
    other.load_state_dict(average.state_dict())
    average.update(model)
    other.update(model)
    assert torch.equal(average.model[0].weight, other.model[0].weight)
