"""The decoders that optimum merges: one ``If`` for the first token and for those that follow.

The branch for the first token computes keys and values of the encoder's output and of the tokens;
the other one is given them. It gives the same numbers when it is given those of the encoder and
none of tokens, so it alone serves all tokens, and what the first branch knows more, keys and values
of the encoder, belongs to the encoder. So :func:`take_apart` makes of an encoder and a merged
decoder the two graphs of the shorter form (:mod:`quantkit.graph.roles`), and :func:`merge` makes
the published form of these again.

Weights, and the nodes that unpack them, lie outside the ``If``, where both branches read them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from quantkit.errors import ModelError
from quantkit.graph.dead_code import drop_dead_nodes, drop_unread_initializers
from quantkit.graph.interface import Declared
from quantkit.graph.partition import reads
from quantkit.graph.renaming import rename_values
from quantkit.graph.roles import CROSSING, DECODER, ENCODER, PAST, PRESENT
from quantkit.graph.tensors import tensor_array
from quantkit.graph.translating import add_entries, declare, declared_value
from quantkit.graph.translation import Translation, Translations

#: The input that chooses a branch.
CHOICE = "use_cache_branch"
#: What the decoder reads of the encoder, and the tokens.
READS, TOKENS = "encoder_hidden_states", "input_ids"
HIDDEN, LOGITS = "last_hidden_state", "logits"
_THEIR_PAST = "past_key_values."
# What encoders take, ours, and the axes behind the clips.
_HEARD = {"input_values": ("waveform", 2), "input_features": ("features", 3)}
_AXES = {2: ("batch", "samples"), 3: ("clips", "mel_bands", "frames")}
_STATE = re.compile(r"past_key_values\.(\d+)\.decoder\.(key|value)")
_OUR_LOGITS = f"{DECODER}.{LOGITS}"
# Of two constants, as quantizers leave them.
_ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}


def state_keys(merged: onnx.ModelProto) -> list[str]:
    """``0.key``, ``0.value``, ``1.key``, … of the keys and values that a decoder remembers."""
    found = (_STATE.fullmatch(value.name) for value in merged.graph.input)
    return [f"{match[1]}.{match[2]}" for match in found if match]


def their_name(prefix: str, key: str, side: str) -> str:
    """What the published form calls a state.

    >>> their_name("present.", "0.key", "encoder")
    'present.0.encoder.key'
    """
    return f"{prefix}{key.replace('.', f'.{side}.', 1)}"


def branch_of(merged: onnx.ModelProto, *, later: bool, outputs: Collection[str]) -> onnx.ModelProto:
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
        name=merged.graph.name or DECODER,
        node=[node for node in merged.graph.node if node is not choice],
        initializer=[*merged.graph.initializer, *body.initializer],
        input=[value for value in merged.graph.input if value.name != CHOICE],
    )
    graph.node.extend(body.node)
    made = {name for node in graph.node for name in node.output}
    for value in merged.graph.output:
        if value.name not in outputs:
            continue
        source = inner.get(value.name, "")
        if source not in made:
            raise ModelError(f"its output {value.name} is computed by no branch")
        if source != value.name:
            # Outputs keep their names, whatever the branch calls them.
            rename_values(graph, {source: value.name})
        graph.output.append(value)
    drop_dead_nodes(graph)
    drop_unread_initializers(graph)
    _drop_unread_inputs(graph)
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


def shape_by_itself(graph: onnx.GraphProto, output: str) -> None:
    """Let a product with the encoder's output be cut into heads without asking other values.

    The exported graph asks the decoder's tokens how many clips there are.

    Raises:
        ModelError: the output is computed in another way.
    """
    producers = {name: node for node in graph.node for name in node.output}
    declared = next(value for value in graph.output if value.name == output)
    heads, size = _sizes(declared)[1::2]
    name = output
    while (node := producers.get(name)) is not None:
        if node.op_type == "Reshape":
            shape = f"{output}.by_head"
            graph.initializer.append(
                numpy_helper.from_array(np.array([0, -1, heads, size], np.int64), shape)
            )
            node.input[1] = shape
            # A size of 0 stands for that of the input.
            del node.attribute[:]
        if READS in node.input:
            return
        name = next((each for each in node.input if each in producers), "")
    raise ModelError(f"its output {output} is no product with {READS}")


def take_apart(
    encoder: onnx.ModelProto,
    crossing: onnx.ModelProto,
    decoder: onnx.ModelProto,
    keys: Sequence[str],
) -> list[onnx.ModelProto]:
    """Encoder and decoder of the shorter form, in place.

    Args:
        crossing: from :data:`READS` to keys and values of the encoder.
        decoder: the branch for tokens that follow.
        keys: see :func:`state_keys`.

    Raises:
        ModelError: encoder and decoder call different values alike.
    """
    sizes = [_sizes(value) for value in crossing.graph.output]
    graph = encoder.graph
    heard = _heard(graph.input[0].name, _sizes(graph.input[0]))
    rename_values(graph, {graph.input[0].name: heard.name})
    names = {their_name(PRESENT, key, ENCODER): f"{CROSSING}{key}" for key in keys}
    rename_values(crossing.graph, {READS: HIDDEN, **names})
    known = {tensor.name for tensor in graph.initializer}
    # What unpacks weights of both is in both.
    made = {name: node for node in graph.node for name in node.output}
    for node in crossing.graph.node:
        if (same := made.get(node.output[0])) is None:
            graph.node.append(node)
        elif same != node:
            raise ModelError("the graphs do not fit each other: they are of different models")
    graph.initializer.extend(t for t in crossing.graph.initializer if t.name not in known)
    declare(
        graph,
        [heard],
        [
            Declared.of(f"{CROSSING}{key}", "float32", "batch", size[1], "steps", size[3])
            for key, size in zip(keys, sizes, strict=True)
        ],
    )
    _with_positions(decoder.graph, keys)
    return [encoder, decoder]


def _heard(name: str, sizes: Sequence[int]) -> Declared:
    """What the encoder takes, as an artifact calls it; ``sizes`` are 0 where any goes.

    Raises:
        ModelError: no known family hears it.
    """
    ours, rank = _HEARD.get(name, ("", 0))
    if not ours or len(sizes) not in (0, rank):
        raise ModelError(f"its encoder takes {name} of {len(sizes)} axes, which no family does")
    axes = _AXES[rank]
    known = (size or axis for size, axis in zip(sizes, axes, strict=True)) if sizes else axes
    _, *others = known
    return Declared.of(ours, "float32", axes[0], *others)


def _with_positions(graph: onnx.GraphProto, keys: Sequence[str]) -> None:
    """Give the decoder the names of an artifact, and log-probabilities at some positions."""
    state = next(value for value in graph.input if value.name.startswith(_THEIR_PAST))
    heads, size = _sizes(state)[1::2]
    rename_values(graph, _our_names(keys))
    chosen = f"{DECODER}.chosen"
    graph.node.extend(
        [
            helper.make_node("Gather", [_OUR_LOGITS, "positions"], [chosen], chosen, axis=1),
            helper.make_node(
                "LogSoftmax", [chosen], ["log_probs"], f"{DECODER}.log_probs", axis=-1
            ),
        ]
    )

    def states(prefix: str, length: str) -> list[Declared]:
        return [
            Declared.of(f"{prefix}{key}", "float32", "batch", heads, length, size) for key in keys
        ]

    declare(
        graph,
        [
            Declared.of("tokens", "int64", "batch", "count"),
            Declared.of("positions", "int64", "wanted"),
            *states(PAST, "past"),
            *states(CROSSING, "steps"),
        ],
        [
            Declared.of("log_probs", "float32", "batch", "wanted", "vocabulary"),
            *states(PRESENT, "present"),
        ],
    )


def _our_names(keys: Sequence[str]) -> dict[str, str]:
    names = {TOKENS: "tokens", LOGITS: _OUR_LOGITS}
    for key in keys:
        names |= {
            their_name(_THEIR_PAST, key, DECODER): f"{PAST}{key}",
            their_name(_THEIR_PAST, key, ENCODER): f"{CROSSING}{key}",
            their_name(PRESENT, key, DECODER): f"{PRESENT}{key}",
        }
    return names


def merge(parts: Sequence[onnx.ModelProto], translations: Translations) -> list[onnx.ModelProto]:
    """The published form of an encoder and a decoder of the shorter form.

    Args:
        parts: both, quantized or not; they are changed.
        translations: what the published files take and give.

    Raises:
        ModelError: a rewrite took a value away that the published form has.
    """
    encoder, decoder = parts
    of_encoder, of_decoder = translations.graphs
    names = [value.name for value in decoder.graph.input]
    keys = [name.removeprefix(PAST) for name in names if name.startswith(PAST)]
    crossing = _cut(encoder, [f"{CROSSING}{key}" for key in keys], given=HIDDEN)
    heard = _cut(encoder, [HIDDEN])
    own = _cut(decoder, [_OUR_LOGITS, *(f"{PRESENT}{key}" for key in keys)])
    name = of_encoder.inputs[0].name
    rename_values(heard.graph, {_heard(name, []).name: name})
    declare(heard.graph, of_encoder.inputs, of_encoder.outputs)
    heard.metadata_props.extend(encoder.metadata_props)
    merged = _merged(crossing.graph, own.graph, keys, of_decoder)
    result = onnx.ModelProto(
        ir_version=decoder.ir_version,
        producer_name=decoder.producer_name,
        producer_version=decoder.producer_version,
        opset_import=decoder.opset_import,
        graph=merged,
    )
    for model, translation in ((heard, of_encoder), (result, of_decoder)):
        add_entries(model, translation.metadata)
    return [heard, result]


def unmerge(models: Sequence[onnx.ModelProto]) -> list[onnx.ModelProto]:
    """Inverse of :func:`merge`, in place.

    Raises:
        ModelError: they are no encoder and no merged decoder.
    """
    encoder, merged = models
    keys = state_keys(merged)
    heard = [their_name(PRESENT, key, ENCODER) for key in keys]
    crossing = branch_of(merged, later=False, outputs=heard)
    own = [LOGITS, *(their_name(PRESENT, key, DECODER) for key in keys)]
    return take_apart(encoder, crossing, branch_of(merged, later=True, outputs=own), keys)


def _merged(
    crossing: onnx.GraphProto,
    decoder: onnx.GraphProto,
    keys: Sequence[str],
    translation: Translation,
) -> onnx.GraphProto:
    # What unpacks weights of both is in both, such as a table of codes.
    outside: dict[str, onnx.NodeProto] = {}
    inside: list[list[onnx.NodeProto]] = []
    for graph in (crossing, decoder):
        constant = _constants(graph)
        parts: tuple[list[onnx.NodeProto], list[onnx.NodeProto]] = ([], [])
        for node in graph.node:
            parts[{*node.output} <= constant].append(node)
        inside.append(parts[0])
        outside |= {node.output[0]: node for node in parts[1]}
    theirs = {ours: name for name, ours in _our_names(keys).items()}
    outputs = [value.name for value in translation.outputs]
    declared = {value.name: value for value in translation.outputs}
    size = next(v.sizes for v in translation.inputs if v.name.startswith(_THEIR_PAST)) or ()
    heads, width = int(size[1] or 0), int(size[3] or 0)
    bodies = []
    for prefix, first in (("later.", False), ("first.", True)):
        body = onnx.GraphProto(name=prefix.rstrip("."))
        if first:
            body.node.extend(_nothing(body, heads, width))
            body.node.extend(inside[0])
        body.node.extend(inside[1])
        names = {name: f"{prefix}{name}" for node in body.node for name in node.output if name}
        # In the first run, what was said before is nothing, and the encoder's are computed here.
        names |= {f"{PAST}{key}": f"{prefix}nothing" for key in keys} if first else {}
        inner = {**theirs, HIDDEN: READS, **names}
        rename_values(body, inner)
        for name in outputs:
            source = _source(name, keys, inner, first=first)
            if not source:
                source = f"{prefix}{name}"
                empty = np.zeros((0, heads, 1, width), np.float32)
                body.initializer.append(numpy_helper.from_array(empty, source))
            body.output.append(declared_value(declared[name], source))
        bodies.append(body)
    known: dict[str, onnx.TensorProto] = {}
    for tensor in (*crossing.initializer, *decoder.initializer):
        known.setdefault(tensor.name, tensor)
    choice = helper.make_node(
        "If", [CHOICE], outputs, CHOICE, then_branch=bodies[0], else_branch=bodies[1]
    )
    merged = onnx.GraphProto(
        name="merged", node=[*outside.values(), choice], initializer=known.values()
    )
    declare(merged, translation.inputs, translation.outputs)
    return merged


def _source(name: str, keys: Sequence[str], inner: dict[str, str], *, first: bool) -> str:
    """The value of a branch that is an output of the merged graph; empty where it has none."""
    ours = {LOGITS: _OUR_LOGITS}
    for key in keys:
        ours[their_name(PRESENT, key, DECODER)] = f"{PRESENT}{key}"
        if first:
            ours[their_name(PRESENT, key, ENCODER)] = f"{CROSSING}{key}"
    return inner[ours[name]] if name in ours else ""


def _nothing(body: onnx.GraphProto, heads: int, width: int) -> list[onnx.NodeProto]:
    """(clips, heads, 0, width), for as many clips as there are tokens of."""
    body.initializer.extend(
        [
            numpy_helper.from_array(np.array([0]), "first.from"),
            numpy_helper.from_array(np.array([1]), "first.to"),
            numpy_helper.from_array(np.array([heads, 0, width]), "first.states"),
        ]
    )
    return [
        helper.make_node("Shape", ["tokens"], ["shape"], "first.shape"),
        helper.make_node("Slice", ["shape", "first.from", "first.to"], ["clips"], "first.clips"),
        helper.make_node("Concat", ["clips", "first.states"], ["sizes"], "first.sizes", axis=0),
        helper.make_node("ConstantOfShape", ["sizes"], ["nothing"], "first.nothing"),
    ]


def _cut(model: onnx.ModelProto, outputs: Sequence[str], given: str = "") -> onnx.ModelProto:
    """A copy of the nodes that compute ``outputs``, where ``given`` is there already.

    Raises:
        ModelError: an output is not computed any more.
    """
    graph = onnx.GraphProto(name=model.graph.name, initializer=model.graph.initializer)
    graph.node.extend(node for node in model.graph.node if given not in node.output or not given)
    made = {name for node in graph.node for name in node.output}
    if lost := next((name for name in outputs if name not in made), ""):
        raise ModelError(f"{lost} is not computed any more, so the published form cannot be given")
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    drop_dead_nodes(graph)
    drop_unread_initializers(graph)
    return onnx.ModelProto(
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        opset_import=model.opset_import,
        graph=graph,
    )


def _constants(graph: onnx.GraphProto) -> set[str]:
    """Values that depend on weights only."""
    known = {tensor.name for tensor in graph.initializer}
    found: set[str] = set()
    for node in graph.node:
        if all(name in known for name in reads(node) if name):
            known.update(node.output)
            found.update(node.output)
    return found


def _sizes(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _drop_unread_inputs(graph: onnx.GraphProto) -> None:
    read = {name for node in graph.node for name in reads(node)}
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name not in read:
            del graph.input[index]
