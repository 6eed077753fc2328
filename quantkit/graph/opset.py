"""Raise a model's operator set, where that changes nothing but the number.

Narrow integers need it: ``INT4`` is there from version 21 of the standard operators on, ``INT2``
from 25 on, and most exporters write 18. A node keeps its meaning when the two versions of its
operator's schema agree on all that the older one can say. Schemas do not tell everything, so the
operators that mean something else, or may, are listed here as well; the list was made by comparing
the documentation of every operator that changed between the two versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import onnx
from onnx import AttributeProto, NodeProto, defs, helper

from quantkit.errors import InputError, ModelError

#: Between these two versions every operator's changes were read.
OLDEST_OPSET = 18
NEWEST_OPSET = 25

_STANDARD = ("", "ai.onnx")

#: Domain of the operators of ONNX Runtime's own.
CONTRIBUTED = "com.microsoft"


def import_contributed(model: onnx.ModelProto) -> None:
    """Let ``model`` have nodes of :data:`CONTRIBUTED`, in place."""
    if all(opset.domain != CONTRIBUTED for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIBUTED, 1))


def _always(node: NodeProto) -> bool:
    return True


def _rounds_up(node: NodeProto) -> bool:
    return bool(_attribute(node, "ceil_mode", 0))


def _chooses_its_padding(node: NodeProto) -> bool:
    return _attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")


#: By operator: the version that changes it, what it changes, and for which nodes.
_CHANGES: Mapping[str, tuple[tuple[int, str, Callable[[NodeProto], bool]], ...]] = {
    "AveragePool": (
        (19, "counts windows that start in the padding differently", _rounds_up),
        (19, "finds the shape of its output differently", _chooses_its_padding),
    ),
    "DFT": ((20, "takes its axis from an input", _always),),
    "GridSample": ((20, "has other names for its modes", _always),),
    "GroupNormalization": ((21, "takes a scale and bias per channel, not per group", _always),),
    "MaxPool": ((22, "leaves out windows that start in the padding", _rounds_up),),
    "Resize": ((19, "states the shape of its output anew", _always),),
    # ONNX Runtime has no kernels for any of these from 22 on.
    **dict.fromkeys(
        (
            *("GlobalLpPool", "MaxRoiPool", "Multinomial", "RoiAlign"),
            *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
        ),
        ((22, "is not there in ONNX Runtime", _always),),
    ),
}


def raise_opset(model: onnx.ModelProto, version: int) -> None:
    """Make ``model`` use ``version`` of the standard operators; its outputs stay bit-identical.

    In place: the imported version, and the IR version where that is too low for it. A model that
    has this version or a later one stays as it is. Operators of other domains are not touched.

    Args:
        version: 18 to 25.

    Raises:
        InputError: ``version`` is not among them.
        ModelError: the model's version is older than 18, or an operator would change; the
            message names it, and the model is as before.
    """
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise InputError(
            f"cannot raise to opset {version}: choose {OLDEST_OPSET} to {NEWEST_OPSET}"
        )
    imports = [
        entry
        for owner in (model, *model.functions)
        for entry in owner.opset_import
        if entry.domain in _STANDARD and entry.version < version
    ]
    if not imports:
        return
    oldest = min(entry.version for entry in imports)
    if oldest < OLDEST_OPSET:
        raise ModelError(
            f"the model has opset {oldest}, and only {OLDEST_OPSET} or later can be raised to "
            f"{version}: export it again with opset {OLDEST_OPSET}"
        )
    for body in (model.graph, *model.functions):
        for node in _nodes(body.node):
            if node.domain in _STANDARD and (change := _change(node, oldest, version)):
                raise ModelError(
                    f"cannot raise opset {oldest} to {version}: {node.op_type} "
                    f"({node.name or next(iter(node.output), 'no name')}) {change}; "
                    "export the model again with that opset"
                )
    for entry in imports:
        entry.version = version
    model.ir_version = max(
        model.ir_version, helper.find_min_ir_version_for(list(model.opset_import), True)
    )


def _nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """All of them, those of subgraphs too."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph.node)


def _attribute(node: NodeProto, name: str, default: int | bytes) -> int | bytes:
    for attribute in node.attribute:
        if attribute.name == name:
            value: int | bytes = helper.get_attribute_value(attribute)
            return value
    return default


def _change(node: NodeProto, old: int, new: int) -> str | None:
    """What versions ``old`` + 1 to ``new`` change about ``node``, in words."""
    for since, change, concerned in _CHANGES.get(node.op_type, ()):
        if old < since <= new and concerned(node):
            return f"{change} from opset {since} on"
    try:
        before = defs.get_schema(node.op_type, old, "")
        after = defs.get_schema(node.op_type, new, "")
    except defs.SchemaError:
        return "is no standard operator"
    if before.since_version == after.since_version:
        return None
    return schema_change(before, after)


def schema_change(before: defs.OpSchema, after: defs.OpSchema) -> str | None:
    """What the newer of two schemas takes back or understands differently, in words."""
    if after.deprecated:
        return f"is deprecated from opset {after.since_version} on"
    for name, attribute in before.attributes.items():
        newer = after.attributes.get(name)
        if newer is None:
            return f"has no attribute {name} from opset {after.since_version} on"
        if (attribute.type, _default(attribute)) != (newer.type, _default(newer)):
            return f"has another default of {name} from opset {after.since_version} on"
    for name, newer in after.attributes.items():
        if newer.required and name not in before.attributes:
            return f"must have the attribute {name} from opset {after.since_version} on"
    for old_values, new_values in ((before.inputs, after.inputs), (before.outputs, after.outputs)):
        kept = new_values[: len(old_values)]
        if [value.name for value in old_values] != [value.name for value in kept]:
            return f"has other inputs or outputs from opset {after.since_version} on"
        for value, newer_value in zip(old_values, kept, strict=True):
            if not set(value.types) <= set(newer_value.types):
                return f"takes fewer types from opset {after.since_version} on"
    if after.min_input > before.min_input or after.max_output < before.max_output:
        return f"has other inputs or outputs from opset {after.since_version} on"
    return None


def _default(attribute: defs.OpSchema.Attribute) -> AttributeProto:
    value: AttributeProto = attribute.default_value
    return value
