"""Runs a codec's decoder in ONNX Runtime, as loading a packed model does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from quantkit.codecs.base import Codec, DecodeBuilder, Encoded, Packed, Weight

Unpack = Callable[[Mapping[str, str], DecodeBuilder], str]
RunDecoder = Callable[..., npt.NDArray[Any]]

_IR_OF_OPSET = {18: 8, 21: 10, 25: 13}


def _run(packed: Sequence[Packed], unpack: Unpack, opset: int = 18) -> npt.NDArray[Any]:
    builder = DecodeBuilder()
    names = {stored.part.name: f"w.{stored.part.name}" for stored in packed}
    result = unpack(names, builder)
    initializers = [stored.to_tensor(names[stored.part.name]) for stored in packed]
    output = helper.make_empty_tensor_value_info("decoded")
    graph = helper.make_graph(
        # A codec that needs no nodes gives an initializer, which cannot be an output by itself.
        [*builder.nodes, helper.make_node("Identity", [result], ["decoded"])],
        "decoder",
        [],
        [output],
        [*initializers, *builder.constants.values()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=_IR_OF_OPSET[opset]
    )
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        optimised = onnx.load(options.optimized_model_filepath)
    # What is not folded while loading would be computed in every run. (The lead added this: some
    # operators, NonZero for one, are left in the graph.)
    assert {node.op_type for node in optimised.graph.node} <= {"Identity"}
    decoded: npt.NDArray[Any] = session.run(None, {})[0]
    return decoded


@pytest.fixture(scope="session")
def run_decoder() -> RunDecoder:
    """``run_decoder(packed, unpack, opset=18)``: what the nodes of ``unpack`` give."""
    return _run


@pytest.fixture(scope="session")
def decoded() -> Callable[[Codec, Weight, Encoded], npt.NDArray[Any]]:
    """``decoded(codec, weight, encoded)``: what ONNX Runtime makes of the stored tensors."""

    def decode(codec: Codec, weight: Weight, encoded: Encoded) -> npt.NDArray[Any]:
        shape, axis = weight.values.shape, weight.axis
        return _run(
            encoded.packed,
            lambda names, builder: codec.decode(shape, axis, names, builder),
            max(codec.opset, 18),
        )

    return decode
