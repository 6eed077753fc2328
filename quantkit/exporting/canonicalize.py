"""Make a traced graph stable and free of traces of the machine that made it.

1. Metadata, doc strings and inferred shapes of the tracer are dropped: they hold stack traces
   with absolute paths, and they go stale when the graph is rewritten.
2. ``Cast → Div → Floor → Cast`` on integers, which rounds in float32, becomes one integer Div.
3. Identical initializers become one; unused ones go.
4. Nodes and values get names that a person can read.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from quantkit.exporting.naming import Naming
from quantkit.graph.artifact import PRODUCER
from quantkit.graph.dead_code import drop_dead_nodes, drop_unread_initializers, merge_initializers
from quantkit.version import __version__

# Operators whose result is of the type of their first input.
_SAME_TYPE = frozenset({"Add", "Clip", "Div", "Max", "Min", "Mul", "Sub", "Where"})


def clean(model: onnx.ModelProto, naming: Naming) -> None:
    """Apply the rules above to ``model`` in place."""
    _restore_integer_division(model.graph)
    merge_initializers(model.graph)
    drop_unread_initializers(model.graph)
    naming(model.graph)
    _strip(model)
    model.producer_name = PRODUCER
    model.producer_version = __version__
    model.graph.name = "quantkit"
    # The lowest IR version that the opset allows is the one that the oldest runtimes load.
    model.ir_version = helper.find_min_ir_version_for(list(model.opset_import))


def _strip(model: onnx.ModelProto) -> None:
    graph = model.graph
    del graph.value_info[:]
    del model.functions[:]
    for holder in (
        model,
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.initializer,
    ):
        holder.ClearField("doc_string")
        holder.ClearField("metadata_props")


def _restore_integer_division(graph: onnx.GraphProto) -> None:
    producers = {name: node for node in graph.node for name in node.output}
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    integers = _integers(graph)
    for last in graph.node:
        chain = [last]
        while len(chain) < 4 and chain[-1].input and chain[-1].input[0] in producers:
            chain.append(producers[chain[-1].input[0]])
        if [node.op_type for node in chain] != ["Cast", "Floor", "Div", "Cast"]:
            continue
        _, _, division, first = chain
        divisor = initializers.get(division.input[1])
        if first.input[0] not in integers or divisor is None:
            continue
        value = onnx.numpy_helper.to_array(divisor)
        if value.size != 1 or float(value) != int(value):
            continue
        name = f"{division.name}.integer"
        graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [], [int(value)]))
        last.CopyFrom(helper.make_node("Div", [first.input[0], name], list(last.output)))
    drop_dead_nodes(graph)


def _integers(graph: onnx.GraphProto) -> set[str]:
    """Values that are 64-bit integers, as far as a look at one node at a time shows."""
    found = {
        value.name for value in graph.input if value.type.tensor_type.elem_type == TensorProto.INT64
    }
    for node in graph.node:
        kind = next((a.i for a in node.attribute if a.name == "to"), 0)
        same = node.op_type in _SAME_TYPE and node.input[0] in found
        if same or (node.op_type == "Cast" and kind == TensorProto.INT64):
            found.update(node.output)
    return found
