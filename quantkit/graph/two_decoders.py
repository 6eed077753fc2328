"""Four graphs, two of which decode: one the first token, and one those that follow.

So the authors of Moonshine first published it: ``preprocess`` makes features of samples, ``encode``
hears them, ``uncached_decode`` also computes keys and values of the encoder's output, and
``cached_decode`` is given them. The last one gives the same numbers when it is given none of
tokens, so it alone serves all tokens. What the graph for the first token knows more belongs to the
encoder. So :func:`as_pair` makes the two graphs of the shorter form (:mod:`quantkit.graph.roles`)
of the four, and :func:`as_four` the published form of these again.

Inputs and outputs of the published graphs are told apart by their places, not by their names. Both
graphs that decode hold the decoder's weights, in this form as in that of the authors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from quantkit.errors import ModelError
from quantkit.graph.dead_code import drop_dead_nodes, drop_unread_initializers
from quantkit.graph.interface import Declared
from quantkit.graph.roles import DECODER, FIRST
from quantkit.graph.translating import add_entries, cut_out, declare, source_of, translate
from quantkit.graph.translation import Translation, Translations

#: Inputs of the graphs that decode, before the states.
TOKENS, HIDDEN, LENGTH = range(3)
_OWN_INPUTS = 3


def as_pair(models: Sequence[onnx.ModelProto], translations: Translations) -> list[onnx.ModelProto]:
    """Encoder and decoder of the shorter form; the first and last model become them.

    Args:
        models: in the order of :data:`~quantkit.graph.roles.FOUR_GRAPHS`, their values with names
            of their own.
        translations: what they take and give.

    Raises:
        ModelError: they do not belong together, or what follows a token depends on more than the
            tokens and the states.
    """
    for model, translation in zip(models, translations.graphs, strict=True):
        translate(model, translation)
        drop_dead_nodes(model.graph)
        drop_unread_initializers(model.graph)
    encoder, *others, decoder = models
    for model in others:
        _append(encoder.graph, model.graph)
    heard, crossing = translations.graphs[0].takes, translations.graphs[2].gives
    declare(encoder.graph, heard, crossing)
    # Nodes that unpack weights of the decoder's are gone with it.
    drop_dead_nodes(encoder.graph)
    drop_unread_initializers(encoder.graph)
    made = {value for node in encoder.graph.node for value in node.output}
    known = {tensor.name for tensor in encoder.graph.initializer}
    given = {value.name for value in encoder.graph.input}
    for node in encoder.graph.node:
        if lost := {*node.input} - made - known - given - {""}:
            raise ModelError(
                f"keys and values of the encoder's output depend on more than it ({min(lost)})"
            )
    return [encoder, decoder]


def as_four(parts: Sequence[onnx.ModelProto], translations: Translations) -> list[onnx.ModelProto]:
    """The published form of an encoder and a decoder of the shorter form.

    Args:
        parts: both, quantized or not; they are not changed.
        translations: what the published files take and give.

    Raises:
        ModelError: a rewrite took a value away that the published form has.
    """
    encoder, decoder = parts
    heard, encoded, first, later = translations.graphs
    models = [_between(encoder, each) for each in (heard, encoded)]
    models += [_first(encoder, decoder, first, later), _later(decoder, later)]
    models[0].metadata_props.extend(encoder.metadata_props)
    for model, translation in zip(models, translations.graphs, strict=True):
        add_entries(model, translation.metadata)
    return models


def own_states(translation: Translation) -> list[int]:
    """Places of the states that grow with the text, among those of a graph that decodes.

    Those of the encoder's output are the others.
    """
    read = {name for step in translation.behind for name in step.inputs}
    outputs = translation.outputs[1:]
    return [place for place, each in enumerate(outputs) if translation.inner(each.name) in read]


def _between(model: onnx.ModelProto, translation: Translation) -> onnx.ModelProto:
    """The part of ``model`` from what a published graph takes to what it gives."""
    part = _copy(model)
    cut_out(
        part.graph,
        {translation.inner(each.name): each.name for each in translation.inputs},
        {source_of(part.graph, translation, each.name): each.name for each in translation.outputs},
    )
    declare(part.graph, translation.inputs, translation.outputs)
    return part


def _later(decoder: onnx.ModelProto, later: Translation) -> onnx.ModelProto:
    """States of the encoder's output are given on as they are."""
    own = own_states(later)
    part = _copy(decoder)
    _decoder_body(part.graph, later, {each.name: each.name for each in later.inputs}, later.outputs)
    for place, (state, made) in enumerate(
        zip(later.inputs[_OWN_INPUTS:], later.outputs[1:], strict=True)
    ):
        if place not in own:
            part.graph.node.append(
                helper.make_node("Identity", [state.name], [made.name], f"{DECODER}.{made.name}")
            )
    declare(part.graph, later.inputs, later.outputs)
    return part


def _first(
    encoder: onnx.ModelProto, decoder: onnx.ModelProto, first: Translation, later: Translation
) -> onnx.ModelProto:
    """Keys and values of the encoder's output, and the decoder without a text before."""
    own = own_states(later)
    part, body = _copy(encoder), _copy(decoder)
    states = first.outputs[1:]
    of_encoder = [each for place, each in enumerate(states) if place not in own]
    hidden = first.inputs[HIDDEN]
    cut_out(
        part.graph,
        {first.inner(hidden.name): hidden.name},
        {source_of(part.graph, first, each.name): each.name for each in of_encoder},
    )
    names = {
        theirs.name: ours.name
        for theirs, ours in zip(later.inputs[:_OWN_INPUTS], first.inputs, strict=True)
    }
    nothing = f"{FIRST}.nothing"
    for place, state in enumerate(later.inputs[_OWN_INPUTS:]):
        names[state.name] = nothing if place in own else states[place].name
    _decoder_body(body.graph, later, names, first.outputs)
    state = later.inputs[_OWN_INPUTS + own[0]]
    tokens = first.inputs[TOKENS].name
    ahead = [*part.graph.node, *_nothing(part.graph, tokens, state, nothing)]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ahead]
    del part.graph.node[:]
    part.graph.node.extend(nodes)
    _append(part.graph, body.graph)
    declare(part.graph, first.inputs, first.outputs)
    return part


def _decoder_body(
    graph: onnx.GraphProto,
    later: Translation,
    names: Mapping[str, str],
    outputs: Sequence[Declared],
) -> None:
    """Cut the decoder out of its steps.

    Args:
        names: what its published inputs are called then.
        outputs: of the graph that it becomes a part of, in the order of ``later``'s.
    """
    places = [0, *(1 + place for place in own_states(later))]
    cut_out(
        graph,
        {later.inner(name): new for name, new in names.items()},
        {
            source_of(graph, later, later.outputs[place].name): outputs[place].name
            for place in places
        },
    )


def _nothing(
    graph: onnx.GraphProto, tokens: str, state: Declared, name: str
) -> list[onnx.NodeProto]:
    """(clips, 0, heads, size), for as many clips as there are tokens of."""
    sizes = state.sizes or ()
    constants = {"from": [0], "to": [1], "behind": [0, *(int(size or 0) for size in sizes[2:])]}
    for word, numbers in constants.items():
        tensor = numpy_helper.from_array(np.array(numbers, np.int64), f"{name}.{word}")
        graph.initializer.append(tensor)
    shape, clips, whole = (f"{name}.{word}" for word in ("shape", "clips", "sizes"))
    return [
        helper.make_node("Shape", [tokens], [shape], shape),
        helper.make_node("Slice", [shape, f"{name}.from", f"{name}.to"], [clips], clips),
        helper.make_node("Concat", [clips, f"{name}.behind"], [whole], whole, axis=0),
        helper.make_node("ConstantOfShape", [whole], [name], name),
    ]


def _append(graph: onnx.GraphProto, other: onnx.GraphProto) -> None:
    """Nodes and constants of ``other``; those that both have, such as tables of codes, once.

    Raises:
        ModelError: they call different values alike.
    """
    made = {node.output[0]: node for node in graph.node}
    for node in other.node:
        if (same := made.get(node.output[0])) is None:
            graph.node.append(node)
        elif same != node:
            raise ModelError("the graphs do not fit each other: they are of different models")
    known = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(t for t in other.initializer if t.name not in known)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.metadata_props[:]
    return copy
