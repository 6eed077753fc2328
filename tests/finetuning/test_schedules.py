"""How weights get to their levels in the course of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from quantkit.errors import InputError
from quantkit.finetuning.names import SCHEDULES
from quantkit.finetuning.schedules import make_schedule
from quantkit.finetuning.student import Student
from tests.finetuning.test_student import _made, _said, _settings
from tests.small_model import Clip

PARTS = (0.5, 0.75, 1.0)


@pytest.fixture
def student(source: Path, clips: list[Clip]) -> Student:
    return _made(source, clips, _settings("static", "powers:3"))[0]


def _fixed(student: Student) -> list[float]:
    return [float(w.fixed.float().mean()) for w in student.weights.values() if w.fixed is not None]


def test_an_incremental_run_fixes_more_and_more_until_nothing_is_left(student: Student) -> None:
    schedule = make_schedule("incremental", student, PARTS, 0)
    schedule.begin()
    shares, rates = np.linspace(0, 1, 101), []
    found: dict[float, float] = {}
    for step, share in enumerate(shares):
        rates.append(schedule.before_step(step, float(share)))
        found[round(float(share), 2)] = max(_fixed(student))
    assert found[0.0] == pytest.approx(0.5, abs=0.01)
    assert found[0.44] == pytest.approx(0.5, abs=0.01)
    assert found[0.46] == pytest.approx(0.75, abs=0.01)
    assert found[0.91] == 1.0
    # Each part has a rate of its own that rises and falls.
    falls = [a > 0.9 and b < 0.3 for a, b in zip(rates[3:], rates[42:], strict=False)]
    assert falls[0]
    assert max(rates[46:60]) > 0.9
    assert max(rates[91:]) > 0.9


def test_an_incremental_run_begins_at_the_float_model(
    source: Path, clips: list[Clip], student: Student
) -> None:
    float_like = _made(source, clips, _settings("static", "int8"))[0]
    schedule = make_schedule("incremental", student, PARTS, 0)
    quantized = _said(student, clips)
    schedule.begin()
    begun = _said(student, clips)
    for found, before, wanted in zip(begun, quantized, _said(float_like, clips), strict=True):
        assert np.abs(found - wanted).mean() < 0.5 * np.abs(before - wanted).mean()
    with student.as_stored():
        stored = _said(student, clips)
    assert np.abs(stored[0] - begun[0]).mean() > 0.01


def test_what_an_early_model_left_open_is_fixed_at_the_end(student: Student) -> None:
    schedule = make_schedule("incremental", student, PARTS, 0)
    schedule.begin()
    schedule.before_step(0, 0.0)
    schedule.finish()
    assert _fixed(student) == [1.0] * len(student.weights)


@pytest.mark.parametrize("name", ["binary-connect", "stochastic"])
def test_weights_stay_within_the_range_of_their_levels(student: Student, name: str) -> None:
    schedule = make_schedule(name, student, PARTS, 0)  # type: ignore[arg-type]
    with torch.no_grad():
        for weight in student.weights.values():
            weight.steps.mul_(10.0)
    schedule.after_step()
    for weight in student.weights.values():
        ratios = (weight.values / weight.scale).detach()
        assert ratios.min() >= -8.001
        assert ratios.max() <= 4.001


def test_a_resumed_run_draws_what_another_would_have_drawn(
    student: Student, clips: list[Clip]
) -> None:
    schedule = make_schedule("stochastic", student, PARTS, 0)
    said = []
    for step in (7, 8, 7):
        schedule.before_step(step, 0.1)
        said.append(_said(student, clips[:1])[0])
    assert np.array_equal(said[0], said[2])
    assert not np.array_equal(said[0], said[1])


def test_codecs_without_levels_of_their_own_cannot_be_fixed_part_by_part(
    source: Path, clips: list[Clip]
) -> None:
    student, _ = _made(source, clips, _settings("static", "sparse:3,keep=50"))
    with pytest.raises(InputError, match="codec sparse has no levels that can be fixed"):
        make_schedule("incremental", student, PARTS, 0)


def test_every_name_is_a_schedule(student: Student) -> None:
    # The one that changes the student comes last.
    for name in sorted(SCHEDULES, key=lambda each: each == "incremental"):
        assert make_schedule(name, student, PARTS, 0).before_step(0, 0.5) > 0
