"""Last parts fitted anew to what the whole model makes."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import UnusableClipError
from quantkit.graph.plan import Structure
from quantkit.structure import refit as refit_module
from quantkit.structure.layers import see_layers, split_layers
from quantkit.structure.refit import refit

RANDOM = np.random.default_rng(5)
CLIPS = [
    (name, {"x": np.cumsum(RANDOM.standard_normal((1, 64, length)), axis=2).astype(np.float32) / 9})
    for name, length in (("a", 400), ("b", 250))
]


def weight(*shape: int) -> np.ndarray:
    found = np.random.default_rng(sum(shape)).standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return found.astype(np.float32)


def three_convolutions(*, relu: bool = True) -> onnx.ModelProto:
    """Of 7 taps each, 64 channels, the middle one without a bias."""
    between = "Relu" if relu else "Identity"
    taps = {"pads": [3, 3], "kernel_shape": [7]}
    nodes = [
        helper.make_node("Conv", ["x", "v1", "b1"], ["c1"], "one", **taps),
        helper.make_node(between, ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "v2"], ["c2"], "two", **taps),
        helper.make_node(between, ["c2"], ["r2"]),
        helper.make_node("Conv", ["r2", "v3", "b3"], ["y"], "three", **taps),
    ]
    constants = {"v1": weight(64, 64, 7), "v2": weight(65, 64, 7), "v3": weight(66, 65, 7)}
    constants |= {"b1": weight(64, 1)[:, 0] / 9, "b3": weight(66, 1)[:, 0]}
    return model_of(nodes, constants)


def two_products() -> onnx.ModelProto:
    """Over (1, time, 64): one with a bias behind it, and one without any."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["rows", "v1"], ["p1"], "one"),
        helper.make_node("Add", ["p1", "b1"], ["s1"], "sum"),
        helper.make_node("Tanh", ["s1"], ["t1"]),
        helper.make_node("MatMul", ["t1", "v2"], ["y"], "two"),
    ]
    constants = {"v1": weight(64, 128), "b1": weight(128, 1)[:, 0], "v2": weight(128, 70)}
    return model_of(nodes, constants)


def two_gemms() -> onnx.ModelProto:
    """Over (time, 64): one with its weight transposed, and one without a bias."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["t", "flat"], ["rows"]),
        helper.make_node("Gemm", ["rows", "v1", "b1"], ["g1"], "one", transB=1),
        helper.make_node("Tanh", ["g1"], ["t1"]),
        helper.make_node("Gemm", ["t1", "v2"], ["y"], "two"),
    ]
    constants = {"v1": weight(128, 64), "b1": weight(128, 1)[:, 0], "v2": weight(128, 70)}
    return model_of(nodes, constants | {"flat": np.array([-1, 64])})


def model_of(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64, "time"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def split(model: onnx.ModelProto, structure: dict[str, Structure]) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    split_layers(made, structure, see_layers(model, structure, CLIPS))
    return made


def values(model: onnx.ModelProto, name: str) -> list[np.ndarray]:
    """Of every clip."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return [np.asarray(session.run([name], feed)[0]) for _, feed in CLIPS]


def error(one: onnx.ModelProto, other: onnx.ModelProto, name: str = "y") -> float:
    pairs = zip(values(one, name), values(other, name), strict=True)
    return float(np.mean([np.square(a - b).mean() for a, b in pairs]))


def arrays(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


ALL = {"one": Structure(24), "two": Structure(24, 32), "three": Structure(inputs=32)}


@pytest.mark.slow
@pytest.mark.parametrize("relu", [True, False])
def test_what_errors_of_layers_add_up_to_is_less(relu: bool) -> None:
    model = three_convolutions(relu=relu)
    made = split(model, ALL)
    before = error(model, made)
    refit(model, made, ALL, CLIPS)
    assert error(model, made) < 0.8 * before


def test_what_is_left_of_a_product_is_not_in_what_its_part_reads() -> None:
    model = two_products()
    structure = {"one": Structure(20), "two": Structure(20)}
    made = split(model, structure)
    refit(model, made, structure, CLIPS)
    read, wanted, found = (values(m, n) for m, n in ((made, "y.in"), (model, "y"), (made, "y")))
    left = sum(z[0].T @ (a - b)[0] for z, a, b in zip(read, wanted, found, strict=True)) / sum(
        np.square(z).sum() for z in read
    )
    # All but for the little that the part before weighs.
    assert np.abs(left).max() < 1e-4


def test_gemms_are_fitted_too() -> None:
    model = two_gemms()
    structure = {"one": Structure(20), "two": Structure(20)}
    made = split(model, structure)
    before = error(model, made)
    refit(model, made, structure, CLIPS)
    assert error(model, made) < before
    means = [np.concatenate(values(m, "y")).mean(axis=0) for m in (model, made)]
    np.testing.assert_allclose(*means, atol=1e-4)


def test_a_bias_behind_a_product_keeps_the_mean() -> None:
    model = two_products()
    made = split(model, {"one": Structure(20)})
    refit(model, made, ["one"], CLIPS)
    means = [np.concatenate(values(m, "s1"), axis=1).mean(axis=(0, 1)) for m in (model, made)]
    np.testing.assert_allclose(*means, atol=1e-4)


@pytest.mark.slow
def test_behind_a_relu_only_what_passes_counts() -> None:
    model = three_convolutions()
    structure = {"one": Structure(24)}
    passed, linear = split(model, structure), split(model, structure)
    refit(model, passed, structure, CLIPS)
    without = three_convolutions(relu=False)
    refit(without, linear, structure, CLIPS)
    assert error(model, passed, "r1") < error(model, linear, "r1")
    assert error(model, passed, "c1") > error(model, linear, "c1")


def test_a_layer_that_loses_nothing_stays() -> None:
    model = three_convolutions()
    made = split(model, {"one": Structure(48)})
    # The whole model is the split one itself.
    again = onnx.ModelProto()
    again.CopyFrom(made)
    refit(made, again, ["one"], CLIPS)
    before, after = arrays(made), arrays(again)
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, atol=1e-5)


def test_first_parts_and_whole_layers_stay() -> None:
    model = three_convolutions()
    made = split(model, {"two": Structure(24, 32)})
    before = arrays(made)
    refit(model, made, ["two"], CLIPS)
    after = arrays(made)
    changed = {name for name, value in before.items() if not np.array_equal(after[name], value)}
    assert {before[name].shape for name in changed} == {(65, 24, 1), (65,)}


def test_parts_of_too_many_inputs_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refit_module, "_MOST_INPUTS", 32)
    model = three_convolutions()
    made = split(model, ALL)
    before = arrays(made)
    refit(model, made, ALL, CLIPS)
    after = arrays(made)
    assert np.array_equal(after["v3.behind"], before["v3.behind"])
    assert not np.array_equal(after["v1.out"], before["v1.out"])


@pytest.mark.slow
def test_the_same_clips_give_the_same_bytes() -> None:
    model = three_convolutions()
    made = [split(model, ALL) for _ in range(2)]
    for each in made:
        refit(model, each, ALL, CLIPS)
    assert made[0].SerializeToString() == made[1].SerializeToString()


def test_a_clip_that_is_not_finite_is_named() -> None:
    model = three_convolutions()
    made = split(model, {"one": Structure(24)})
    broken = [*CLIPS, ("broken", {"x": np.full((1, 64, 90), np.nan, np.float32)})]
    with pytest.raises(UnusableClipError, match="broken"):
        refit(model, made, ["one"], broken)
