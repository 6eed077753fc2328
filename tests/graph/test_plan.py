"""Plans: what is written is read back, and what a person may get wrong is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantkit.errors import FormatError
from quantkit.graph.plan import LayerPlan, Plan, Structure, read_plan, write_plan

PLAN = Plan(
    layers=(
        LayerPlan("first", "Conv", (8, 4, 3), "int8", 8, "static", 8, "min-max", 140),
        LayerPlan(
            "second", "MatMul", (8, 4), "grouped", 3, "dynamic", 8, "dynamic per-batch", 30,
            options={"group_size": 16},
        ),
        LayerPlan("third", "Gather", (9, 4), "ternary", 1.6, "float32", 32, "none", 30, note="why"),
    ),
    model_sha256="ab" * 32,
    method="uniform",
    budget_bytes=1_000,
    predicted_bytes=900,
    target_runtime="1.17",
    keep_interface=False,
)  # fmt: skip


def edited(**changes: Any) -> dict[str, Any]:
    """The plan's JSON with fields of the second layer changed; None takes a field out."""
    document = PLAN.to_json()
    row = document["layers"][1]
    for key, value in changes.items():
        row[key] = value
        if value is None:
            del row[key]
    return document


def test_file_holds_the_whole_plan(tmp_path: Path) -> None:
    write_plan(PLAN, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == PLAN


def test_json_names_its_schema_and_leaves_out_what_is_empty() -> None:
    document = PLAN.to_json()
    assert document["schema"] == "quantkit.plan/1"
    first, second, third = document["layers"]
    assert "options" not in first
    assert "note" not in first
    assert second["options"] == {"group_size": 16}
    assert third["bits"] == 1.6


def test_person_may_leave_out_sizes_and_what_has_a_usual_value() -> None:
    row = {"name": "a", "op": "Conv", "shape": [1], "codec": "int8", "bits": 8, "compute": "static"}
    layer = LayerPlan.from_row(row | {"range": "min-max"})
    assert (layer.bytes, layer.activation_bits, layer.options) == (0, 8, {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codec": None}, "layer second: codec is missing"),
        ({"bits": "3"}, "layer second: bits must be a number, not '3'"),
        ({"bits": True}, "layer second: bits must be a number, not True"),
        ({"bits": -1}, "layer second: bits must be at least 0 and at most 64, not -1"),
        (
            {"compute": "int8"},
            "compute must be one of float32, dynamic, static, matmul-nbits, not 'int8'",
        ),
        ({"shape": [3, -1]}, r"layer second: shape\[1\] must be at least 0, not -1"),
        ({"bit": 3}, "layer second: unknown field 'bit'"),
        ({"name": "first"}, "layer first stands in the plan twice"),
        ({"options": []}, r"options must be a table of named values, not \[\]"),
    ],
)
def test_wrong_row_is_named(changes, message, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(edited(**changes)))
    with pytest.raises(FormatError, match=message):
        read_plan(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": []}, "has no layers"),
        ({"layers": [7]}, "layer of the plan must be a table of named values, not 7"),
        ({"budget_bytes": -1}, "budget_bytes must be at least 0, not -1"),
        ({"schema": "quantkit.bench/1"}, "quantkit.bench/1"),
    ],
)
def test_wrong_plan_is_refused(change, message, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(PLAN.to_json() | change))
    with pytest.raises(FormatError, match=message):
        read_plan(path)


STRUCTURE = {
    "first": Structure(8),
    "second": Structure(16, 4),
    "third": Structure(channels=24),
    "fourth": Structure(8, channels=24),
    "fifth": Structure(mean=True),
}


def test_the_structure_of_a_layer_is_told_in_words() -> None:
    words = [str(each) for each in STRUCTURE.values()]
    assert words == ["8", "4 → 16", "24 channels", "24 channels, 8", "its mean"]


def test_ranks_are_read_back_and_stand_only_where_there_are_some(tmp_path: Path) -> None:
    plan = replace(PLAN, structure=STRUCTURE)
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan
    assert plan.to_json()["structure"] == {
        "first": {"rank": 8},
        "second": {"rank": 16, "input_rank": 4},
        "third": {"channels": 24},
        "fourth": {"rank": 8, "channels": 24},
        "fifth": {"rank": 0},
    }
    assert "structure" not in PLAN.to_json()


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        ({"first": 8}, "first"),
        ({"first": {"rank": 0, "channels": 8}}, "rank"),
        ({"first": {}}, "none of rank, input_rank, channels"),
        ({"first": {"rank": 8, "kernel": 3}}, "kernel"),
    ],
)
def test_ranks_that_cannot_be_are_named(structure: object, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Plan.from_json(PLAN.to_json() | {"structure": structure})
