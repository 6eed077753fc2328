"""What a bench is told, checked before anything is measured."""

from __future__ import annotations

from typing import Any

import pytest

from quantkit.benchmarking.settings import BenchSettings
from quantkit.errors import InputError


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_sizes": ()}, "batch sizes must be whole numbers of at least 1"),
        ({"batch_sizes": (4, 0)}, "batch sizes must be whole numbers of at least 1"),
        ({"threads": (-1,)}, "threads must be whole numbers"),
        ({"limit": -1}, "number of utterances must not be negative"),
        ({"seed": -1}, "a seed must be a whole number of at least 0, not -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BenchSettings(**wrong)


def test_batch_sizes_are_tried_once_each_from_the_smallest() -> None:
    assert BenchSettings(batch_sizes=(8, 1, 8)).sizes == (1, 8)
