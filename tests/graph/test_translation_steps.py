"""The steps around somebody's graph do the same as nodes and in NumPy."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from quantkit.arrays import Array
from quantkit.graph.interface import Declared
from quantkit.graph.translating import declare, translate
from quantkit.graph.translation import Step, Translation
from quantkit.runtime.translated_session import run_steps

RANDOM = np.random.default_rng(0)
STATES = RANDOM.standard_normal((2, 3, 4, 5)).astype(np.float32)
ROWS = RANDOM.standard_normal((2, 3, 5)).astype(np.float32)
TWO = np.array([2])

CASES: dict[str, tuple[Step, dict[str, Array]]] = {
    "size": (Step("size", ("x",), ("y",), (2,)), {"x": STATES}),
    "sum": (Step("sum", ("x", "z"), ("y",)), {"x": TWO, "z": TWO}),
    "pad": (Step("pad", ("x",), ("y",), (2, 9)), {"x": STATES}),
    "pad of nothing": (Step("pad", ("x",), ("y",), (2, 9)), {"x": STATES[:, :, :0]}),
    "first": (Step("first", ("x", "z"), ("y",), (2,)), {"x": STATES, "z": TWO}),
    "take": (Step("take", ("x", "z"), ("y",), (1,)), {"x": STATES, "z": np.array([2, 0])}),
    "one_batch": (Step("one_batch", ("x",), ("y",)), {"x": ROWS}),
    "log_softmax": (Step("log_softmax", ("x",), ("y",)), {"x": ROWS}),
    "transpose": (Step("transpose", ("x",), ("y",), (1, 0, 2, 3)), {"x": STATES}),
}


@pytest.mark.parametrize("name", CASES)
def test_both_forms_agree(name: str) -> None:
    step, given = CASES[name]
    values = [
        Declared.of(key, str(value.dtype), *(f"{key}{axis}" for axis in range(value.ndim)))
        for key, value in given.items()
    ]
    expected = run_steps([step], given)["y"]
    made = Declared.of("y", str(expected.dtype), *(f"y{axis}" for axis in range(expected.ndim)))
    model = helper.make_model(
        onnx.GraphProto(name="nothing"), opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    )
    translate(model, Translation("role", "", (), (), tuple(values), (made,), (), (step,)))
    declare(model.graph, values, [made])
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(["y"], given)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
