"""The decoders that optimum merges: one ``If`` for the first token and for those that follow.

The branch for the first token computes keys and values of the encoder's output and of the tokens;
the other one is given them. It gives the same numbers when it is given those of the encoder and
none of tokens, so it alone serves all tokens, and what the first branch knows more, keys and values
of the encoder, belongs to the encoder.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from quantkit.errors import ModelError
from quantkit.graph.dead_code import drop_dead_nodes, drop_unread_initializers
from quantkit.graph.tensors import tensor_array

# Of two constants, as quantizers leave them.
_ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}

#: The input that chooses a branch.
CHOICE = "use_cache_branch"


def branch_of(merged: onnx.ModelProto, *, later: bool, outputs: list[str]) -> onnx.ModelProto:
    """One branch as a graph of its own, for some of its outputs; ``merged`` is not changed.

    Args:
        merged: a decoder whose outputs are all those of one ``If``.
        later: the branch for tokens that follow, and not for the first one.

    Raises:
        ModelError: it is no such decoder.
    """
    choices = [node for node in merged.graph.node if node.op_type == "If"]
    if len(choices) != 1 or list(choices[0].input) != [CHOICE]:
        raise ModelError(
            f"it has {len(choices)} nodes If, and a merged decoder has one, by {CHOICE}"
        )
    (choice,) = choices
    wanted = "then_branch" if later else "else_branch"
    body = next(each.g for each in choice.attribute if each.name == wanted)
    inner = dict(zip(choice.output, (value.name for value in body.output), strict=True))
    graph = onnx.GraphProto(
        name=merged.graph.name or "decoder",
        node=[node for node in merged.graph.node if node is not choice],
        initializer=[*merged.graph.initializer, *body.initializer],
        input=[value for value in merged.graph.input if value.name != CHOICE],
    )
    graph.node.extend(body.node)
    made = {name for node in graph.node for name in node.output}
    for value in merged.graph.output:
        if value.name in outputs:
            if inner.get(value.name) != value.name:
                # Outputs keep their names, whatever the branch calls them.
                source = inner.get(value.name, "")
                if source not in made:
                    raise ModelError(f"its output {value.name} is computed by no branch")
                graph.node.append(onnx.helper.make_node("Identity", [source], [value.name]))
            graph.output.append(value)
    drop_dead_nodes(graph)
    drop_unread_initializers(graph)
    read = {name for node in graph.node for name in node.input}
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name not in read:
            del graph.input[index]
    return onnx.ModelProto(
        ir_version=merged.ir_version, opset_import=merged.opset_import, graph=graph
    )


def add_up_weights(graph: onnx.GraphProto) -> None:
    """Replace sums, differences and products of two constants by their values, in place.

    Transpositions stay, so that a weight that is read in two ways is stored once.
    """
    known = {tensor.name: tensor for tensor in graph.initializer}
    folded = set()
    for place, node in enumerate(graph.node):
        operation = _ARITHMETIC.get(node.op_type)
        if operation is None or not all(name in known for name in node.input):
            continue
        one, other = (tensor_array(known[name]) for name in node.input)
        tensor = numpy_helper.from_array(operation(one, other).astype(one.dtype), node.output[0])
        graph.initializer.append(tensor)
        known[tensor.name] = tensor
        folded.add(place)
    for place in sorted(folded, reverse=True):
        del graph.node[place]
    drop_unread_initializers(graph)
