"""Take the nodes away that gave somebody's graph the inputs and outputs of an artifact.

What is left takes the place of the original in the program that ran it.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from quantkit.errors import FormatError, ModelError
from quantkit.exporting.wrapping import renamed
from quantkit.graph.dead_code import drop_dead_nodes, drop_unread_initializers
from quantkit.graph.interface import INTERFACE_KEY, Declared, Interface, interface_in
from quantkit.graph.renaming import rename_values
from quantkit.graph.translating import set_kept, translations_of
from quantkit.graph.translation import PREFIX

_LOST = "the inputs and outputs of the original cannot be given back: {}; use --no-keep-interface"


def wrapped_interface(model: onnx.ModelProto) -> Interface | None:
    """The interface of the original that ``model`` can be given back; None where there is none.

    Raises:
        ModelError: the metadata entry is damaged.
    """
    entries = {entry.key: entry.value for entry in model.metadata_props}
    try:
        found = interface_in(entries)
    except FormatError as error:
        raise ModelError(f"its quantkit metadata is damaged: {error}") from error
    return None if found is None or found.kept else found


def unwrap(model: onnx.ModelProto) -> None:
    """Give ``model`` the inputs and outputs of its original, in place; nothing else changes.

    Several graphs of somebody's folder get them when they are saved; see
    :mod:`quantkit.graph.translating`.

    Raises:
        ModelError: it was not made of somebody's model, or a rewrite took such a value away.
    """
    if translations_of(model) is not None:
        set_kept(model, kept=True)
        return
    interface = wrapped_interface(model)
    if interface is None:
        raise ModelError(_LOST.format("it is not made of somebody's model"))
    graph = model.graph
    sources = {_source(graph, each, interface): each for each in interface.outputs}
    inputs = {renamed(each.name): each for each in interface.inputs}
    if not any(renamed(interface.audio.name) in node.output for node in graph.node):
        raise ModelError(_LOST.format(f"{interface.audio.name} is not read any more"))
    _cut_before(graph, set(inputs))
    # Of sequences and the like, which have no element type that NumPy knows.
    others = {value.name: value.type for value in graph.output}
    kinds = {
        each.name: onnx.TypeProto.FromString(others[source].SerializeToString())
        for source, each in sources.items()
        if not each.type and source in others
    }
    # Names only: drop_dead_nodes looks at nothing else.
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in sources)
    drop_dead_nodes(graph)
    drop_unread_initializers(graph)
    _rename_back(graph, inputs, sources)
    _declare(graph, interface, kinds)
    for entry in model.metadata_props:
        if entry.key == INTERFACE_KEY:
            entry.value = interface.as_kept(True).to_json()


def _source(graph: onnx.GraphProto, output: Declared, interface: Interface) -> str:
    """The value that an output of the original is now.

    Behind a layer on integers there may be nodes that put its result on a grid; the runtime needs
    them next to the layer, so the output is what they give.
    """
    name = renamed(output.name)
    if output.name != interface.output.name:
        return name
    producers = {value: node for node in graph.node for value in node.output}
    value = "log_probs"
    while value in producers and producers[value].name.startswith(PREFIX):
        value = producers[value].input[0]
    if value not in producers:
        raise ModelError(_LOST.format(f"{output.name} is not computed any more"))
    return value


def _cut_before(graph: onnx.GraphProto, inputs: set[str]) -> None:
    """Take away what computes ``inputs``."""
    kept = [node for node in graph.node if not inputs & {*node.output}]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)


def _rename_back(
    graph: onnx.GraphProto, inputs: dict[str, Declared], sources: dict[str, Declared]
) -> None:
    """Give the values of the original the names, and the types, that they had."""
    names = {name: each.name for name, each in (*inputs.items(), *sources.items())}
    made = {name for node in graph.node for name in node.output}
    for source, each in sources.items():
        if each.name in made and each.name != source:
            # What was there before it was put on a grid.
            names[each.name] = f"{each.name}.exact"
    casts: list[onnx.NodeProto] = []
    for name, each in inputs.items():
        if each.computed:
            names[name] = inner = f"{each.name}.{each.computed}"
            to = _kind(each.computed)
            casts.append(helper.make_node("Cast", [each.name], [inner], f"{inner}.cast", to=to))
    ahead = len(casts)
    for source, each in sources.items():
        if each.computed:
            names[source] = inner = f"{each.name}.{each.computed}"
            to = _kind(each.type)
            casts.append(helper.make_node("Cast", [inner], [each.name], f"{inner}.cast", to=to))
    rename_values(graph, names)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    del graph.node[:]
    graph.node.extend([*casts[:ahead], *nodes, *casts[ahead:]])


def _declare(
    graph: onnx.GraphProto, interface: Interface, kinds: dict[str, onnx.TypeProto]
) -> None:
    """``kinds``: the types of what is no tensor, by name."""
    for values, declared in (
        (graph.input, interface.inputs),
        (graph.output, interface.outputs),
    ):
        del values[:]
        values.extend(
            onnx.ValueInfoProto(name=each.name, type=kinds[each.name])
            if each.name in kinds
            else helper.make_tensor_value_info(each.name, _kind(each.type), each.sizes)
            for each in declared
        )


def _kind(name: str) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(name)))
