"""What every trainer gets from the loop, shown with a line that is fitted to numbers."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quantkit.errors import CheckpointError, CorpusError
from quantkit.training import loop
from quantkit.training.loop import TrainingLoop
from quantkit.training.recipe import OptimizerSettings, Precision
from quantkit.training.run import BEST_NAME, Progress


@dataclass(frozen=True)
class LineRecipe:
    steps: int = 6
    validate_every: int = 3
    precision: Precision = "float32"
    seed: int = 0
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)


@dataclass(frozen=True)
class LineScore:
    error: float

    @property
    def summary(self) -> str:
        return f"error {self.error:.2f}"


class LineTrainer(TrainingLoop[nn.Linear, float, Tensor]):
    """Fits y = 2x to the numbers of ``clips``, one a batch; a clip of 0 cannot be used."""

    measure: ClassVar[str] = "error"
    nothing_to_train: ClassVar[str] = "every number is 0"

    def __init__(self, recipe: LineRecipe, clips: Sequence[float], folder: Path) -> None:
        super().__init__(recipe, partial(nn.Linear, 1, 1), folder, torch.device("cpu"))
        self.clips = clips
        self.seen: list[float] = []

    def _epoch(self, rng: random.Random) -> list[float]:
        return rng.sample(list(self.clips), len(self.clips))

    def _prepare(self, group: float, rng: np.random.Generator) -> Tensor | None:
        return torch.tensor([[group]]) if group else None

    def _seconds_of(self, batch: Tensor) -> float:
        return 1.0

    def _loss(self, batch: Tensor) -> Tensor:
        self.seen.append(float(batch))
        return (self.model(batch) - 2 * batch).square().mean()

    def _score(self) -> tuple[LineScore, float, Mapping[str, object]]:
        error = abs(self.model.weight.item() - 2.0)
        return LineScore(error), error, {"slope": self.model.weight.item()}

    def _keep_best(self, figures: Mapping[str, object]) -> None:
        (self.folder / BEST_NAME).write_text(str(figures["slope"]))

    def _own_state(self) -> dict[str, Any]:
        return {"clips": list(self.clips)}

    def _check_origin(self, state: Mapping[str, Any]) -> None:
        if state["clips"] != list(self.clips):
            raise CheckpointError("it was trained on other numbers")


CLIPS = (1.0, -2.0, 3.0, 0.5)


def test_every_step_is_reported_and_some_with_a_score(tmp_path: Path) -> None:
    told: list[Progress] = []
    trainer = LineTrainer(LineRecipe(), CLIPS, tmp_path)
    best = trainer.run(told.append)
    assert [each.step for each in told] == [1, 2, 3, 4, 5, 6]
    assert [each.score is not None for each in told] == [False, False, True] * 2
    assert best == trainer.best == min(abs(float(e["slope"]) - 2.0) for e in trainer.history)


def test_history_and_best_checkpoint_have_the_figures_of_the_validation(tmp_path: Path) -> None:
    trainer = LineTrainer(LineRecipe(), CLIPS, tmp_path)
    trainer.run()
    history = json.loads((tmp_path / "history.json").read_text())
    assert [list(entry) for entry in history] == [["step", "loss", "learning_rate", "slope"]] * 2
    slopes = [entry["slope"] for entry in history]
    closest = min(slopes, key=lambda slope: abs(slope - 2.0))
    assert float((tmp_path / BEST_NAME).read_text()) == closest


def test_the_state_is_saved_between_validations_where_these_are_far_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = LineRecipe(steps=5, validate_every=5)
    interrupted = LineTrainer(recipe, CLIPS, tmp_path)
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)

    def interrupt(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted.run(interrupt)
    resumed = LineTrainer(recipe, CLIPS, tmp_path)
    assert resumed.resume()
    assert (resumed.step, resumed.best, resumed.history) == (3, math.inf, [])


def test_a_resumed_run_sees_what_a_whole_one_would_have_seen(tmp_path: Path) -> None:
    constant = OptimizerSettings("adamw", 1e-2, schedule="constant")
    epoch = LineRecipe(steps=4, validate_every=4, optimizer=constant)
    two_epochs = LineRecipe(steps=8, validate_every=4, optimizer=constant)
    whole = LineTrainer(two_epochs, CLIPS, tmp_path / "whole")
    whole.folder.mkdir()
    whole.run()
    first = LineTrainer(epoch, CLIPS, tmp_path)
    first.run()
    second = LineTrainer(two_epochs, CLIPS, tmp_path)
    assert second.resume()
    second.run()
    assert first.seen + second.seen == whole.seen
    assert torch.equal(second.model.weight, whole.model.weight)


def test_a_run_on_other_data_is_not_continued(tmp_path: Path) -> None:
    LineTrainer(LineRecipe(), CLIPS, tmp_path).run()
    with pytest.raises(CheckpointError, match=r"last\.pt: it was trained on other numbers"):
        LineTrainer(LineRecipe(), CLIPS[1:], tmp_path).resume()


def test_a_step_whose_gradient_is_not_finite_is_skipped(tmp_path: Path) -> None:
    recipe = LineRecipe(steps=2, validate_every=2)
    trainer = LineTrainer(recipe, (math.inf,), tmp_path)
    before = trainer.model.weight.item()
    trainer.run()
    assert trainer.step == 2
    assert trainer.model.weight.item() == before


def test_without_a_usable_clip_there_is_nothing_to_train(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="every number is 0"):
        LineTrainer(LineRecipe(), (0.0, 0.0), tmp_path).run()
