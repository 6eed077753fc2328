"""The table's metrics become an order, or a clear refusal."""

from __future__ import annotations

import pytest

from quantkit.errors import FormatError, InputError
from quantkit.planning.methods.ordering import metric_values, ranking
from tests.planning.methods.conftest import MEDIANS, NAMES, table

SHA = "ab" * 32


def test_directions_mirror_each_other_also_where_values_are_equal() -> None:
    values = {"a": 0.5, "b": 0.1, "c": 0.5, "d": -2.0}
    assert ranking(values, "ascending") == ["d", "b", "a", "c"]
    assert ranking(values, "descending") == ["c", "a", "b", "d"]


def test_unknown_direction() -> None:
    with pytest.raises(InputError, match="unknown direction 'sideways'; choose one of ascending"):
        ranking({"a": 1.0}, "sideways")


def test_values_of_the_layers_that_were_asked_about() -> None:
    values = metric_values(table(SHA, median=MEDIANS), SHA, NAMES[:2], "median")
    assert values == {"layer1.conv": 0.2, "layer2.conv": 0.4}


@pytest.mark.parametrize(
    ("sensitivity", "error", "message"),
    [
        (None, InputError, "needs a sensitivity table: make one with `quantkit analyze"),
        (table("cd" * 32, median=MEDIANS), FormatError, "is for the model with SHA-256 cdcdcdcd"),
        (table(SHA, variance=MEDIANS), InputError, "no metric 'median' for layer .*: variance"),
        (table(SHA, median=(float("nan"),) * 6), InputError, "its median is nan"),
    ],
)
def test_tables_that_do_not_do(sensitivity, error, message) -> None:
    with pytest.raises(error, match=message):
        metric_values(sensitivity, SHA, NAMES, "median")


def test_layer_that_was_not_analysed() -> None:
    with pytest.raises(InputError, match="has no layer lstm"):
        metric_values(table(SHA, median=MEDIANS), SHA, ("lstm",), "median")
