"""The house is in order: each piece of knowledge stands in one room."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.house import (
    OPERATOR_EXCEPTIONS,
    OPERATOR_ROOMS,
    OPERATORS,
    TASK_EXCEPTIONS,
    TASK_ROOMS,
    TASKS,
    asking_for_a_task,
    asks_for_a_task,
    literals,
    named,
    openings_of_personalize,
)
from tests.small_model import Clip, clips, model, source

__all__ = ["clips", "model", "source"]


@pytest.mark.slow
def test_operators_are_named_in_their_own_rooms_only() -> None:
    found = named(OPERATORS, OPERATOR_ROOMS)

    assert found.keys() - OPERATOR_EXCEPTIONS.keys() == set()


@pytest.mark.slow
def test_each_exception_is_still_needed_and_has_a_reason() -> None:
    found = named(OPERATORS, OPERATOR_ROOMS)

    assert OPERATOR_EXCEPTIONS.keys() <= found.keys()
    assert all(OPERATOR_EXCEPTIONS.values())


@pytest.mark.slow
def test_tasks_are_named_in_their_own_room_only() -> None:
    found = named(TASKS, TASK_ROOMS)

    assert found.keys() - TASK_EXCEPTIONS.keys() == set()
    assert TASK_EXCEPTIONS.keys() <= found.keys()
    assert all(TASK_EXCEPTIONS.values())


@pytest.mark.slow
def test_outside_of_it_nobody_asks_which_task_a_model_is_of() -> None:
    assert asking_for_a_task() == {}


@pytest.mark.parametrize(
    "code", ["isinstance(x, WhisperModel)", "info.task == name", "info.task in ('', *known)"]
)
def test_a_class_or_a_comparison_would_be_noticed(code: str) -> None:
    assert asks_for_a_task(ast.parse(code, mode="eval").body)


@pytest.mark.slow
def test_personalizing_opens_the_float_model_once(source: Path, clips: list[Clip]) -> None:
    assert openings_of_personalize(source, clips, 60_000) == 1


def test_docstrings_and_comments_may_say_what_they_like(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text('"""ctc"""\n# "ctc"\nname = "ctc"\n')
    assert list(literals(file)) == [(3, "ctc")]
