"""What is timed runs on integer kernels, whatever the rule says of the layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.integer_convolutions import COMPUTES, Convolution, measure, report, rule
from quantkit.graph.artifact import read_info

NARROW = Convolution("narrow", (8, 1, 40), (400,), 4)
WIDE = Convolution("wide", (8, 8, 3), (50,))


def test_slow_layers_are_quantized_here_and_nowhere_else(tmp_path: Path) -> None:
    times = measure(tmp_path, NARROW, 0.0)
    assert set(times) == set(COMPUTES)
    assert all(len(each) == 5 for each in times.values())
    for compute in ("static", "dynamic"):
        plan = read_info(tmp_path / f"{compute}.onnx").plan
        assert plan is not None
        assert plan["layers"][0]["compute"] == compute
        assert "one input channel" in rule(tmp_path, NARROW, compute)
        assert not rule(tmp_path, WIDE, compute)


def test_table_names_the_speed_and_the_reason(tmp_path: Path) -> None:
    times = {
        compute: np.array([time]) for compute, time in zip(COMPUTES, (2.0, 4.0, 5.0), strict=True)
    }
    text = report({NARROW: times}, tmp_path)
    assert (
        "| narrow | 8 × 1 × 40 | 2.00 | 0.50× | 0.40× | one input channel | one input channel |"
        in text
    )
