"""An encoder and its decoder as an encoder and a merged decoder.

What was exported from PyTorch gives keys and values of the encoder's output, and scores at some
positions. The merged form has the encoder's output itself, and scores at all positions
(:mod:`quantkit.graph.merged_decoder`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from quantkit.bundles.profiles.graphs import output_sizes
from quantkit.errors import ModelError
from quantkit.graph.interface import Declared
from quantkit.graph.merged_decoder import (
    CHOICE,
    HIDDEN,
    LOGITS,
    READS,
    TOKENS,
    merge,
    their_name,
)
from quantkit.graph.partition import reads
from quantkit.graph.renaming import rename_values
from quantkit.graph.roles import CROSSING, DECODER, ENCODER, PAST, PRESENT
from quantkit.graph.translation import Translation, Translations

_THEIR_PAST = "past_key_values."
_SCORES = f"{DECODER}.{LOGITS}"
# Nodes whose results are no output of an encoder, even where all that follows is computed of them.
_OF_INTEGERS = ("QuantizeLinear", "DynamicQuantizeLinear", "Shape", "Size", "Cast")


def keys_of(decoder: onnx.ModelProto) -> list[str]:
    """``0.key``, ``0.value``, ``1.key``, … of what an artifact's decoder remembers."""
    names = (value.name for value in decoder.graph.input)
    return [name.removeprefix(PAST) for name in names if name.startswith(PAST)]


def heads_of(decoder: onnx.ModelProto) -> tuple[int, int]:
    """How many heads its states have, and of what size.

    Raises:
        ModelError: the graph does not say it.
    """
    sizes = output_sizes(decoder, f"{PAST}{keys_of(decoder)[0]}")
    heads, size = (sizes[axis] if len(sizes) == 4 else 0 for axis in (1, 3))
    if not isinstance(heads, int) or not isinstance(size, int) or not heads * size:
        raise ModelError(f"a state of its decoder is {sizes}, and its heads must be known")
    return heads, size


def as_merged(
    encoder: onnx.ModelProto, decoder: onnx.ModelProto, hears: str, vocabulary: int
) -> list[onnx.ModelProto]:
    """Both graphs of the merged form; the artifact's are changed.

    Args:
        hears: what the encoder takes there, such as ``input_features``.
        vocabulary: tokens that the decoder scores.

    Raises:
        ModelError: the encoder's output cannot be told from what is computed of it.
    """
    keys = keys_of(decoder)
    heads, size = heads_of(decoder)
    for key in keys:
        _turn_columns(encoder, decoder, key)
        _shape_by_itself(encoder.graph, f"{CROSSING}{key}", heads, size)
    _name_hidden(encoder, [f"{CROSSING}{key}" for key in keys])
    _score_everywhere(decoder)
    audio = encoder.graph.input[0]
    heard = Declared.of(hears, "float32", *_axes(audio))
    # sherpa-onnx goes by the places of states: those of a layer's text come before its audio's.
    states = [
        (prefix, key, side)
        for prefix in (_THEIR_PAST, PRESENT)
        for layer in range(0, len(keys), 2)
        for side in (DECODER, ENCODER)
        for key in keys[layer : layer + 2]
    ]
    past, present = (
        tuple(
            Declared.of(
                their_name(prefix, key, side), "float32", "batch", heads, f"{side}_length", size
            )
            for prefix, key, side in states
            if prefix == wanted
        )
        for wanted in (_THEIR_PAST, PRESENT)
    )
    hidden = Declared.of(READS, "float32", "batch", "encoder_length", "width")
    translations = Translations(
        (
            Translation(
                ENCODER,
                "",
                (heard,),
                (Declared.of(HIDDEN, "float32", "batch", "encoder_length", "width"),),
                (),
                (),
                (),
                (),
            ),
            Translation(
                DECODER,
                "",
                (
                    Declared.of(TOKENS, "int64", "batch", "decoder_length"),
                    hidden,
                    *past,
                    Declared.of(CHOICE, "bool", 1),
                ),
                (
                    Declared.of(LOGITS, "float32", "batch", "decoder_length", vocabulary),
                    *present,
                ),
                (),
                (),
                (),
                (),
            ),
        ),
        merged=True,
    )
    return merge([encoder, decoder], translations)


def _turn_columns(encoder: onnx.ModelProto, decoder: onnx.ModelProto, key: str) -> None:
    """Let keys of the encoder's output be (clips, heads, steps, size), as published ones are."""
    name = f"{CROSSING}{key}"
    sizes = output_sizes(decoder, name)
    if len(sizes) != 4 or not isinstance(sizes[2], int) or not sizes[2]:
        return
    made, read = f"{name}.made", f"{name}.read"
    rename_values(encoder.graph, {name: made})
    rename_values(decoder.graph, {name: read})
    turned = [0, 1, 3, 2]
    encoder.graph.node.append(helper.make_node("Transpose", [made], [name], made, perm=turned))
    decoder.graph.node.insert(0, helper.make_node("Transpose", [name], [read], read, perm=turned))
    for values in (encoder.graph.output, decoder.graph.input):
        value = next(each for each in values if each.name == name)
        shape = value.type.tensor_type.shape
        shape.dim[2].dim_param, shape.dim[3].dim_value = "steps", sizes[2]


def _shape_by_itself(graph: onnx.GraphProto, output: str, heads: int, size: int) -> None:
    """Let a projection be cut into heads without a shape that the encoder's input has, too.

    Raises:
        ModelError: it is cut in another way.
    """
    producers = {name: node for node in graph.node for name in node.output}
    name = output
    while (node := producers.get(name)) is not None and node.op_type in ("Transpose", "Identity"):
        name = node.input[0]
    if node is None or node.op_type != "Reshape":
        raise ModelError(f"its {output} is no projection of the encoder's output")
    shape = f"{output}.by_head"
    # 0: the size that there is.
    by_head = np.array([0, -1, heads, size], np.int64)
    graph.initializer.append(numpy_helper.from_array(by_head, shape))
    node.input[1] = shape
    del node.attribute[:]


def _name_hidden(encoder: onnx.ModelProto, crossing: Sequence[str]) -> None:
    """Call the last value that all of ``crossing`` follows from by the name of the merged form.

    Raises:
        ModelError: there is none.
    """
    graph = encoder.graph
    if any(HIDDEN in node.output for node in graph.node):
        return
    last: dict[str, int] = {}
    for place, node in enumerate(graph.node):
        last |= dict.fromkeys(reads(node), place)
    last |= dict.fromkeys(crossing, len(graph.node))
    alive = {value.name for value in graph.input}
    found = ""
    for place, node in enumerate(graph.node):
        if alive & {*reads(node)}:
            alive |= {name for name in node.output if name}
        alive = {name for name in alive if last.get(name, -1) > place}
        only = next(iter(alive)) if len(alive) == 1 else ""
        if only in node.output and node.op_type not in _OF_INTEGERS:
            found = only
    if not found:
        raise ModelError("the output of its encoder cannot be told from what is computed of it")
    rename_values(graph, {found: HIDDEN})


def _score_everywhere(decoder: onnx.ModelProto) -> None:
    """Let the decoder score tokens at all positions, under the name of the merged form."""
    graph = decoder.graph
    if any(_SCORES in node.output for node in graph.node):
        return
    rename_values(graph, {"log_probs": _SCORES})
    kept = [value for value in graph.input if value.name != "positions"]
    del graph.input[:]
    graph.input.extend(kept)
    for node in reversed(all_positions(graph)):
        graph.node.insert(0, node)


def all_positions(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Nodes that make ``positions`` of all that ``tokens`` has; their constants are added."""
    zero, one = "positions.zero", "positions.one"
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(0, np.int64), zero),
            numpy_helper.from_array(np.array(1, np.int64), one),
        ]
    )
    shape, count = "positions.shape", "positions.count"
    return [
        helper.make_node("Shape", ["tokens"], [shape], shape),
        helper.make_node("Gather", [shape, one], [count], count, axis=0),
        helper.make_node("Range", [zero, count, one], ["positions"], "positions.all"),
    ]


def _axes(value: onnx.ValueInfoProto) -> list[int | str]:
    return [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param
        for dim in value.type.tensor_type.shape.dim
    ]
