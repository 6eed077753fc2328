"""Recurrent operators: what ONNX Runtime computes, with gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from quantkit.errors import ModelError
from quantkit.finetuning.graph import TorchGraph
from quantkit.finetuning.operators import compute
from quantkit.finetuning.recurrent import problem_of

_STEPS, _BATCH, _INPUTS, _HIDDEN = 7, 3, 5, 4
_GATES = {"LSTM": 4, "GRU": 3}
_OUTPUTS = {"LSTM": ["y", "hidden", "cell"], "GRU": ["y", "hidden"]}


def _inputs(op: str, directions: int, given: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """Values by name, and the names in the order of the operator; of the optional ones, some.

    Args:
        given: letters of those: bias, lengths, states.
    """
    rng = np.random.default_rng(0)
    rows = _GATES[op] * _HIDDEN
    shapes = {
        "x": (_STEPS, _BATCH, _INPUTS),
        "w": (directions, rows, _INPUTS),
        "r": (directions, rows, _HIDDEN),
        "b": (directions, 2 * rows),
        "l": (_BATCH,),
        "s": (directions, _BATCH, _HIDDEN),
        "c": (directions, _BATCH, _HIDDEN),
    }
    if op == "GRU":
        del shapes["c"]
    wanted = {"x", "w", "r", *given, *("c" if "s" in given else "")}
    values = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
        if name in wanted
    }
    if "l" in values:
        values["l"] = np.array([7, 2, 4], np.int32)
    return values, [name if name in wanted else "" for name in shapes]


def _by_onnx_runtime(
    op: str, values: dict[str, np.ndarray], names: list[str], attributes: dict[str, Any]
) -> list[np.ndarray]:
    outputs = _OUTPUTS[op]
    given = [
        helper.make_tensor_value_info(
            name, TensorProto.INT32 if name == "l" else TensorProto.FLOAT, value.shape
        )
        for name, value in values.items()
    ]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    node = helper.make_node(op, names, outputs, **attributes)
    model = helper.make_model(
        helper.make_graph([node], "g", given, made),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return [np.asarray(each) for each in session.run(outputs, values)]


@pytest.mark.parametrize("given", ["", "b", "l", "bls"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("op", "before"), [("LSTM", None), ("GRU", 0), ("GRU", 1)])
def test_a_recurrent_layer_gives_what_onnx_runtime_gives_and_has_gradients(
    op: str, before: int | None, direction: str, given: str
) -> None:
    values, names = _inputs(op, 2 if direction == "bidirectional" else 1, given)
    attributes: dict[str, Any] = {"hidden_size": _HIDDEN, "direction": direction}
    if before is not None:
        attributes["linear_before_reset"] = before
    wanted = _by_onnx_runtime(op, values, names, attributes)
    tensors = {n: torch.from_numpy(v).requires_grad_(n != "l") for n, v in values.items()}
    found = compute(op, attributes, [tensors.get(name) for name in names])
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other, atol=1e-5)
    torch.stack([each.square().sum() for each in found]).sum().backward()
    for name, tensor in tensors.items():
        assert name == "l" or (tensor.grad is not None and bool(tensor.grad.any())), name


def test_states_stay_float32_where_products_are_bfloat16() -> None:
    values, names = _inputs("LSTM", 1, "b")
    tensors = [torch.from_numpy(values[name]) if name in values else None for name in names]
    wanted, *_ = compute("LSTM", {"hidden_size": _HIDDEN}, tensors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, *_ = compute("LSTM", {"hidden_size": _HIDDEN}, tensors)
    assert torch.equal(found, wanted)


@pytest.mark.parametrize(
    ("op", "attributes", "given", "message"),
    [
        ("LSTM", {"activations": [b"Sigmoid", b"Relu", b"Tanh"]}, 3, "other functions than the"),
        ("GRU", {"clip": 3.0}, 3, r"through GRU \(node cell\): it clips"),
        ("LSTM", {"input_forget": 1}, 3, "input and forget gates are one"),
        ("GRU", {"layout": 1}, 3, "its batch first"),
        ("LSTM", {}, 8, "look at the cell"),
    ],
)
def test_other_cells_are_refused_by_name(
    op: str, attributes: dict[str, Any], given: int, message: str
) -> None:
    inputs = ["x", "w", "r", *[""] * (given - 4), *(["p"] if given > 3 else [])]
    node = helper.make_node(op, inputs, ["y"], "cell", **attributes)
    graph = helper.make_graph([node], "g", [], [])
    with pytest.raises(ModelError, match=message):
        TorchGraph(helper.make_model(graph), ["y"])


def test_the_usual_functions_may_be_named() -> None:
    values, names = _inputs("LSTM", 2, "")
    named = {"direction": b"bidirectional", "activations": [b"Sigmoid", b"Tanh", b"tanh"] * 2}
    tensors = [torch.from_numpy(values[name]) if name in values else None for name in names]
    plain, *_ = compute("LSTM", {"direction": b"bidirectional"}, tensors)
    said, *_ = compute("LSTM", named, tensors)
    assert torch.equal(plain, said)
    assert not problem_of("LSTM", named, names)
