"""Nodes around somebody's graph that give it the inputs and outputs of an artifact, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from quantkit.errors import FormatError, ModelError
from quantkit.graph.dead_code import drop_dead_nodes, drop_unread_initializers
from quantkit.graph.interface import Declared
from quantkit.graph.renaming import rename_values
from quantkit.graph.translation import (
    PREFIX,
    TRANSLATIONS_KEY,
    Step,
    Translation,
    Translations,
    translations_in,
)

_OPERATORS = {
    "identity": "Identity",
    "cast": "Cast",
    "transpose": "Transpose",
    "squeeze": "Squeeze",
    "unsqueeze": "Unsqueeze",
    "rows": "GatherND",
    "equal": "Equal",
    "split": "Split",
    "log_softmax": "LogSoftmax",
    "concat": "Concat",
    "one_batch": "Reshape",
    "size": "Slice",
    "sum": "Add",
    "pad": "Pad",
    "first": "Slice",
    "take": "Gather",
    "places": "Range",
}
_WITH_NUMBERS = ("squeeze", "unsqueeze", "split")
_ALONG_LAST = ("split", "log_softmax", "concat")


def translations_of(model: onnx.ModelProto) -> Translations | None:
    """Those in the metadata of ``model``; None where there are none.

    Raises:
        ModelError: they are damaged.
    """
    try:
        return translations_in({entry.key: entry.value for entry in model.metadata_props})
    except FormatError as error:
        raise ModelError(f"its quantkit metadata is damaged: {error}") from error


def set_kept(model: onnx.ModelProto, kept: bool) -> None:
    """Let files of ``model`` have the inputs and outputs of the originals, or those of ours.

    Raises:
        ModelError: it has no translations.
    """
    found = translations_of(model)
    if found is None:
        raise ModelError("the model was not made of somebody's folder")
    entry = next(each for each in model.metadata_props if each.key == TRANSLATIONS_KEY)
    entry.value = replace(found, kept=kept).to_json()


def translate(model: onnx.ModelProto, translation: Translation) -> None:
    """Put the steps around the graph of ``model`` as nodes, in place.

    Its inputs and outputs are those of the original.
    """
    graph = model.graph
    ours = (*translation.inputs, *translation.outputs)
    rename_values(graph, {each.name: translation.inner(each.name) for each in ours})
    ahead, behind = (
        [node for step in steps for node in _nodes(graph, translation.role, step)]
        for steps in (translation.before, translation.behind)
    )
    own = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    del graph.node[:]
    graph.node.extend([*ahead, *own, *behind])
    declare(graph, translation.takes, translation.gives)


def give_back(model: onnx.ModelProto, translation: Translation) -> None:
    """Give ``model`` the inputs and outputs of its original, in place; inverse of translating.

    Raises:
        ModelError: a rewrite took such a value away.
    """
    graph = model.graph
    cut_out(
        graph,
        {translation.inner(each.name): each.name for each in translation.inputs},
        {source_of(graph, translation, each.name): each.name for each in translation.outputs},
    )
    declare(graph, translation.inputs, translation.outputs)
    add_entries(model, translation.metadata)


def cut_out(graph: onnx.GraphProto, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Leave only what lies between some values of a graph, in place.

    Args:
        inputs: what is given from then on, and what it is called then.
        outputs: the same for what is computed; they are declared without types.
    """
    kept = [node for node in graph.node if not inputs.keys() & {*node.output}]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)
    # Names only: drop_dead_nodes looks at nothing else.
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    drop_dead_nodes(graph)
    drop_unread_initializers(graph)
    rename_values(graph, {**inputs, **outputs})


def add_entries(model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Give ``model`` metadata entries, but not in the place of those that it has."""
    known = {entry.key for entry in model.metadata_props}
    for key, value in metadata.items():
        if key not in known:
            model.metadata_props.add(key=key, value=value)


def source_of(graph: onnx.GraphProto, translation: Translation, name: str) -> str:
    """The value that an output of the original is now.

    Behind a layer on integers there may be nodes that put its result on a grid, so the output is
    what the step behind it reads.
    """
    inner = translation.inner(name)
    reader = next((step for step in translation.behind if inner in step.inputs), None)
    nodes = {value: node for node in graph.node for value in node.output}
    node = nodes.get(reader.outputs[0]) if reader is not None else None
    if reader is None or node is None:
        raise ModelError(
            f"the output {name} of the original's {translation.role} cannot be given back: it is "
            "not computed any more"
        )
    return str(node.input[reader.inputs.index(inner)])


def _nodes(graph: onnx.GraphProto, role: str, step: Step) -> list[onnx.NodeProto]:
    operator, inputs = _OPERATORS[step.kind], [*step.inputs]
    attributes: dict[str, Any] = {}
    if step.kind == "cast":
        attributes["to"] = helper.np_dtype_to_tensor_dtype(np.dtype(step.type))
    elif step.kind == "transpose":
        attributes["perm"] = [*step.numbers]
    elif step.kind == "one_batch":
        # 0: the size that there is.
        inputs.append(_constant(graph, role, (1, -1, 0)))
    elif step.kind in _WITH_NUMBERS:
        inputs.append(_constant(graph, role, step.numbers))
    elif step.kind == "take":
        attributes["axis"] = step.numbers[0]
    if step.kind in _ALONG_LAST:
        attributes["axis"] = -1
    name = f"{PREFIX}{role}.{step.outputs[0]}"
    ahead: list[onnx.NodeProto] = []
    if step.kind == "size":
        axis = step.numbers[0]
        shape = f"{name}.shape"
        ahead = [helper.make_node("Shape", inputs, [shape], shape)]
        ends = (_constant(graph, role, (end,)) for end in (axis, axis + 1))
        inputs = [shape, *ends]
    elif step.kind == "places":
        axis, shape, count, end = (
            step.numbers[0],
            *(f"{name}.{n}" for n in ("shape", "count", "end")),
        )
        begin, behind = (_constant(graph, role, (n,)) for n in (axis, axis + 1))
        ahead = [
            helper.make_node("Shape", inputs, [shape], shape),
            helper.make_node("Slice", [shape, begin, behind], [count], count),
            helper.make_node("Squeeze", [count], [end], end),
        ]
        inputs = [_scalar(graph, role, 0), end, _scalar(graph, role, 1)]
    elif step.kind == "pad":
        axis, size = step.numbers
        shape, there, missing, amounts = (
            f"{name}.{part}" for part in ("shape", "there", "missing", "amounts")
        )
        begin, end, wanted = (_constant(graph, role, (n,)) for n in (axis, axis + 1, size))
        nothing = _constant(graph, role, (0,))
        ahead = [
            helper.make_node("Shape", inputs, [shape], shape),
            helper.make_node("Slice", [shape, begin, end], [there], there),
            helper.make_node("Sub", [wanted, there], [missing], missing),
            helper.make_node("Concat", [nothing, missing], [amounts], amounts, axis=0),
        ]
        inputs += [amounts, "", begin]
    elif step.kind == "first":
        values, count = inputs
        nothing, axis_name = (_constant(graph, role, (n,)) for n in (0, step.numbers[0]))
        inputs = [values, nothing, count, axis_name]
    return [*ahead, helper.make_node(operator, inputs, [*step.outputs], name, **attributes)]


def _constant(graph: onnx.GraphProto, role: str, numbers: Sequence[int]) -> str:
    name = f"{PREFIX}{role}.{'_'.join(map(str, numbers))}"
    if all(tensor.name != name for tensor in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
    return name


def _scalar(graph: onnx.GraphProto, role: str, number: int) -> str:
    name = f"{PREFIX}{role}.scalar_{number}"
    if all(tensor.name != name for tensor in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(np.array(number, np.int64), name))
    return name


def declare(
    graph: onnx.GraphProto, inputs: Sequence[Declared], outputs: Sequence[Declared]
) -> None:
    """Give a graph these inputs and outputs in place of its own."""
    for values, declared in ((graph.input, inputs), (graph.output, outputs)):
        del values[:]
        values.extend(declared_value(each, each.name) for each in declared)


def declared_value(declared: Declared, name: str) -> onnx.ValueInfoProto:
    """A value called ``name`` of the type and shape of another."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(declared.type))
    return helper.make_tensor_value_info(name, kind, declared.sizes)
