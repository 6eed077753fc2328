"""ONNX Runtime's failures as errors that name what failed."""

from __future__ import annotations

import pytest

from quantkit.errors import ModelError
from quantkit.runtime.errors import runtime_errors


def test_any_exception_becomes_one_line_that_says_what_failed() -> None:
    with (
        pytest.raises(
            ModelError, match=r"^the model fails on clip a: bad shape \(1, 2\)$"
        ) as caught,
        runtime_errors("the model fails on clip a"),
    ):
        raise RuntimeError("bad\n  shape (1, 2)\n")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_block_that_succeeds_is_left_alone() -> None:
    with runtime_errors("the model fails"):
        found = 3
    assert found == 3


def test_an_interrupt_is_no_failure_of_the_model() -> None:
    with pytest.raises(KeyboardInterrupt), runtime_errors("the model fails"):
        raise KeyboardInterrupt
