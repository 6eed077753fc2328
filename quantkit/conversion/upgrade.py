"""Graphs of older opsets get the one that all codecs need.

Node by node: what the newer version of an operator understands alike stays as it is; each other
node is given to ``onnx.version_converter`` as a model of its own. So weights are neither read nor
copied, however large, operators of other domains stay, and so do the names of nodes and values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import onnx
from onnx import NodeProto, TensorProto, defs, helper, numpy_helper, version_converter

from quantkit.conversion.types import inferred_types, rank_of
from quantkit.errors import ModelError
from quantkit.graph.editor import GraphEditor, copy_node, fix_defaults
from quantkit.graph.opset import OLDEST_OPSET, schema_change

#: The oldest opset that ONNX Runtime promises to run.
OLDEST_READ = 7
#: What all codecs and all nodes of ours need.
TARGET = OLDEST_OPSET
#: Names of the domain of standard operators.
STANDARD = ("", "ai.onnx")

# Elements of constants that converting a node may have to look at.
_SMALL = 64
# Its older version promised integers, which have no error function.
_ALIKE = frozenset({"Erf"})


def upgrade(model: onnx.ModelProto) -> str:
    """Bring ``model``, which has no functions of its own, to opset 18 in place.

    Returns:
        What was done, in words; empty where it has that opset or a later one.

    Raises:
        ModelError: it is older than 7, or a node cannot be converted; the message names it, and
            ``model`` is as before.
    """
    imports = [each for each in model.opset_import if each.domain in STANDARD]
    version = max((each.version for each in imports), default=TARGET)
    if version >= TARGET:
        return ""
    if version < OLDEST_READ:
        raise ModelError(
            f"it has opset {version}, and ONNX Runtime runs {OLDEST_READ} or later: export it anew"
        )
    changed = _Upgrade(model, version).apply()
    for each in imports:
        each.version = TARGET
    fix_defaults(model)
    model.ir_version = max(
        model.ir_version, helper.find_min_ir_version_for(list(model.opset_import), True)
    )
    nodes = f" ({changed} of its nodes are written anew)" if changed else ""
    return f"opset {version} is converted to {TARGET}{nodes}"


def is_changed(node: NodeProto, version: int) -> bool:
    """Whether ``node`` of opset ``version`` has to be written anew to mean the same in 18."""
    if node.domain not in STANDARD or node.op_type in _ALIKE:
        return False
    if node.op_type == "Split" and len([name for name in node.input if name]) < 2:
        # Into how many parts is said by their names only, from 18 on also by an attribute.
        return True
    try:
        before = defs.get_schema(node.op_type, version, "")
        after = defs.get_schema(node.op_type, TARGET, "")
    except defs.SchemaError:
        # One of ONNX Runtime's own.
        return False
    if before.since_version == after.since_version:
        return False
    return schema_change(before, after) is not None


class _Upgrade:
    def __init__(self, model: onnx.ModelProto, version: int) -> None:
        self.model, self.version = model, version
        self.types = inferred_types(model)

    def apply(self) -> int:
        """How many nodes were replaced."""
        editor = GraphEditor(self.model)
        # All are converted before any is replaced, so that a refusal leaves the model whole.
        replaced = [
            (scope, node, self._converted(scope, node))
            for scope, node in editor.everywhere()
            if is_changed(node, self.version)
        ]
        for scope, node, converted in replaced:
            scope.replace(node, self._own(scope, node, converted))
        editor.finish()
        return len(replaced)

    def _converted(self, scope: GraphEditor, node: NodeProto) -> onnx.GraphProto:
        name = f"{node.name or next(iter(node.output), '')} ({node.op_type})"
        what = f"it has opset {self.version}, and node {name} cannot be converted to {TARGET}"
        if reason := _reason_against(scope, node, self._rank(node)):
            raise ModelError(f"{what}: {reason}; export it anew with opset {TARGET} or later")
        try:
            graph = version_converter.convert_version(self._alone(scope, node), TARGET).graph
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"{what}: {reason}; export it anew with opset {TARGET} or later"
            ) from error
        if node.op_type in ("Upsample", "Resize"):
            _keep_corners(graph)
        return graph

    def _alone(self, scope: GraphEditor, node: NodeProto) -> onnx.ModelProto:
        """A model of ``node`` only; small constants come along, anything else is handed in."""
        graph = onnx.GraphProto(name="alone")
        graph.node.append(node)
        for name in dict.fromkeys(name for name in node.input if name):
            value = scope.array(name) if _is_small(scope, name) else None
            if value is not None:
                graph.initializer.append(numpy_helper.from_array(value, name))
            else:
                graph.input.append(onnx.ValueInfoProto(name=name, type=self._type(name)))
        for name in node.output:
            if name:
                graph.output.append(onnx.ValueInfoProto(name=name, type=self._type(name)))
        alone = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.version)])
        alone.ir_version = 8
        return alone

    def _type(self, name: str) -> onnx.TypeProto:
        if name in self.types:
            return self.types[name]
        unknown = onnx.TypeProto()
        unknown.tensor_type.elem_type = TensorProto.FLOAT
        return unknown

    def _rank(self, node: NodeProto) -> int | None:
        return rank_of(self.types.get(node.input[0])) if node.input else None

    def _own(
        self, scope: GraphEditor, node: NodeProto, converted: onnx.GraphProto
    ) -> Sequence[NodeProto]:
        """The nodes of ``converted`` with names that are free, and its constants in the graph."""
        kept = {name: name for name in (*node.input, *node.output)}
        names: dict[str, str] = {"": "", **kept}
        base = node.name or next(iter(node.output), "")
        for tensor in converted.initializer:
            if tensor.name not in kept:
                names[tensor.name] = scope.constant(
                    f"{base}.constant", numpy_helper.to_array(tensor)
                )
        made: list[NodeProto] = []
        for each in converted.node:
            if each.op_type == "Constant" and each.attribute[0].name == "value":
                value = numpy_helper.to_array(each.attribute[0].t)
                names[each.output[0]] = scope.constant(f"{base}.constant", value)
                continue
            own = copy_node(each)
            for name in each.output:
                if name not in names:
                    names[name] = scope.free_name(f"{base}.{each.op_type.lower()}")
            own.input[:] = [names[name] for name in each.input]
            own.output[:] = [names[name] for name in each.output]
            main = each.op_type == node.op_type or len(converted.node) == 1
            own.name = node.name if main else names[each.output[0]]
            made.append(own)
        return made


def _is_small(scope: GraphEditor, name: str) -> bool:
    if not scope.is_constant(name):
        return False
    owner: GraphEditor | None = scope
    while owner is not None:
        if name in owner.initializers:
            tensor = owner.initializers[name]
            return not tensor.external_data and math.prod(tensor.dims) <= _SMALL
        owner = owner.parent
    return True


def _reason_against(scope: GraphEditor, node: NodeProto, rank: int | None) -> str:
    """Why ``onnx.version_converter`` would not keep what ``node`` computes; empty if it does."""
    attributes: Mapping[str, object] = scope.attributes(node)
    if node.op_type == "Hardmax":
        axis = int(str(attributes.get("axis", 1)))
        if axis != -1 and (rank is None or axis != rank - 1):
            return "it takes several axes as one"
    if node.op_type == "BatchNormalization" and not attributes.get("spatial", 1):
        return "it normalises each position by itself"
    if node.op_type == "Scan":
        return "it has an axis for the batch"
    if node.op_type == "Resize" and attributes.get("mode", b"nearest") == b"nearest":
        scales = scope.input_array(node, 1)
        if scales is None or (scales < 1).any():
            return "it leaves out values in a way of its own"
    return ""


def _keep_corners(graph: onnx.GraphProto) -> None:
    """Let values lie where opset 10 and earlier had them; later versions centre them."""
    for node in graph.node:
        if node.op_type == "Resize":
            names = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            kept = [each for each in node.attribute if each.name not in names]
            del node.attribute[:]
            node.attribute.extend(kept)
            node.attribute.extend(helper.make_attribute(k, v) for k, v in names.items())
