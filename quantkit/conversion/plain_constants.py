"""Constants in the one form that all else looks for: tensors that hold each of their elements."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, SparseTensorProto, TensorProto, helper, numpy_helper

from quantkit.arrays import Array
from quantkit.graph.partition import graphs_within
from quantkit.graph.tensors import tensor_array

# Attributes of a Constant that are numbers themselves, and the type of its result.
_NUMBERS = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}
_SPARSE = "sparse_value"


def make_constants_plain(model: onnx.ModelProto) -> str:
    """Write sparse constants, and those that ``Constant`` nodes have as numbers, as tensors, in
    place.

    Returns:
        What was done, in words; empty where no constant was sparse.
    """
    sparse = 0
    for graph in graphs_within(model.graph):
        for each in graph.sparse_initializer:
            graph.initializer.append(_dense(each, each.values.name))
        sparse += len(graph.sparse_initializer)
        del graph.sparse_initializer[:]
        for node in graph.node:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
                sparse += _make_plain(node)
    if not sparse:
        return ""
    count = f"{sparse} sparse constants are" if sparse > 1 else "a sparse constant is"
    return f"{count} made dense"


def _make_plain(node: NodeProto) -> bool:
    """Whether its value was sparse."""
    for attribute in node.attribute:
        name = str(attribute.name)
        if name in _NUMBERS:
            value = np.array(helper.get_attribute_value(attribute), _NUMBERS[name])
            tensor = numpy_helper.from_array(value, node.output[0])
        elif attribute.type == AttributeProto.SPARSE_TENSOR and name == _SPARSE:
            tensor = _dense(attribute.sparse_tensor, node.output[0])
        else:
            continue
        attribute.CopyFrom(helper.make_attribute("value", tensor))
        return name == _SPARSE
    return False


def _dense(sparse: SparseTensorProto, name: str) -> TensorProto:
    values, places = tensor_array(sparse.values), tensor_array(sparse.indices)
    shape = tuple(sparse.dims)
    full: Array = np.zeros(shape, values.dtype)
    if places.ndim == 1:
        full.reshape(-1)[places] = values
    else:
        full[tuple(places.T)] = values
    return numpy_helper.from_array(full, name)
