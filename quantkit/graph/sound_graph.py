"""Is a graph one that can be worked on? Checked where files are opened, before anything else.

Whatever walks a graph may then rely on it: values have one source and are computed before they are
read, nodes have the inputs, outputs and attributes of their operators, and constants have their
elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import AttributeProto, NodeProto, checker, defs

from quantkit.errors import ModelError
from quantkit.graph.lazy import LazyModel
from quantkit.graph.partition import bodies, reads
from quantkit.graph.sound_tensors import (
    is_element_type,
    require_sound_sparse_tensor,
    require_sound_tensor,
    require_sound_tensors,
)
from quantkit.graph.topological import put_in_order
from quantkit.json_fields import shown

_ATTRIBUTES = frozenset(AttributeProto.AttributeType.values()) - {AttributeProto.UNDEFINED}
_STANDARD = ("", "ai.onnx")
# Attributes that make a result larger than what it is made of, and steps that each may add: more
# than a minute of samples. One number in a file could take all memory otherwise.
_PADDING = frozenset({"pads", "output_padding"})
_MOST_PADDING = 1 << 20
# Libraries keep versions in 32 bits, the file in 64.
_LARGEST_VERSION = (1 << 31) - 1


def require_sound(lazy: LazyModel, origin: Path) -> None:
    """Check all of a model but the elements of its weights.

    Nodes of a graph that is not in order, but can be, are put in order: ONNX Runtime runs such.

    Raises:
        ModelError: what is wrong first, in one line.
    """
    model = lazy.model
    texts = [entry.domain for entry in model.opset_import]
    texts += [text for entry in model.metadata_props for text in (entry.key, entry.value)]
    _require_texts((model.producer_name, *texts), origin)
    soundness = _Soundness(model, origin)
    for function in model.functions:
        soundness.function(function)
    soundness.graph(model.graph, frozenset(), lazy.places)


class _Soundness:
    def __init__(self, model: onnx.ModelProto, origin: Path) -> None:
        self.origin = origin
        self.damaged = f"{origin} is damaged:"
        self.functions = {(each.domain, each.name) for each in model.functions}
        self.context = self._context(model.ir_version, model.opset_import)

    def graph(
        self,
        graph: onnx.GraphProto,
        outside: frozenset[str],
        places: Mapping[int, tuple[int, int]] | None = None,
    ) -> None:
        """``outside``: the values that a body may read."""
        self._texts(graph)
        require_sound_tensors(graph.initializer, self.origin, places)
        for sparse in graph.sparse_initializer:
            require_sound_sparse_tensor(sparse, self.origin)
        constants = [tensor.name for tensor in graph.initializer]
        constants += [sparse.values.name for sparse in graph.sparse_initializer]
        inputs = [value.name for value in graph.input]
        self._once(constants, "constant")
        self._once(inputs, "input")
        known = {*inputs, *constants}
        made = [name for node in graph.node for name in node.output if name]
        self._once([*known, *made], "value")
        ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
        self._nodes(graph.node, frozenset({*outside, *known}), made)
        for node in graph.node:
            self._order(node, ranks)
        for value in graph.output:
            if value.name not in known and value.name not in outside and value.name not in made:
                raise ModelError(f"{self.damaged} nothing computes its output {value.name}")

    def function(self, function: onnx.FunctionProto) -> None:
        """A function of the model's own."""
        _require_texts(
            (function.name, function.domain, *function.input, *function.output), self.origin
        )
        context = self.context
        self.context = self._context(context.ir_version, function.opset_import)
        made = [name for node in function.node for name in node.output if name]
        self._once([*function.input, *made], "value")
        self._nodes(function.node, frozenset(function.input), made)
        for name in function.output:
            if name not in made and name not in function.input:
                raise ModelError(f"{self.damaged} nothing computes {name} of {function.name}")
        self.context = context

    def _nodes(self, nodes: Any, known: frozenset[str], made: list[str]) -> None:
        visible = known | set(made)
        for node in nodes:
            self._node(node)
            for body in bodies(node):
                self.graph(body, visible)
        for node in nodes:
            for name in reads(node):
                if name not in visible:
                    raise ModelError(
                        f"{self.damaged} node {_named(node)} reads {name}, which nothing computes"
                    )
        if not put_in_order(nodes, known):
            raise ModelError(f"{self.damaged} its graph goes round in a circle")

    def _node(self, node: NodeProto) -> None:
        _require_texts(
            (node.name, node.op_type, node.domain, *node.input, *node.output), self.origin
        )
        if not any(node.output):
            raise ModelError(f"{self.damaged} node {_named(node)} has no output")
        names = [attribute.name for attribute in node.attribute]
        self._once(names, f"attribute of {_named(node)}")
        for attribute in node.attribute:
            if attribute.type not in _ATTRIBUTES:
                raise ModelError(
                    f"{self.damaged} attribute {attribute.name} of {_named(node)} has no type that "
                    "is known"
                )
            if attribute.name in _PADDING and max(attribute.ints, default=0) > _MOST_PADDING:
                raise ModelError(
                    f"{self.damaged} node {_named(node)} pads its input with "
                    f"{max(attribute.ints):,} steps"
                )
            for tensor in _tensors(attribute):
                require_sound_tensor(tensor, self.origin)
        self._schema(node)

    def _schema(self, node: NodeProto) -> None:
        """Its inputs, outputs and attributes are those of its operator."""
        if node.domain not in _STANDARD or (node.domain, node.op_type) in self.functions:
            return
        version = self.context.opset_imports.get("", 0)
        # Bodies were checked by themselves, and external elements cannot be found from here.
        if any(bodies(node)) or not _has_schema(node.op_type, version):
            return
        if any(t.external_data for each in node.attribute for t in _tensors(each)):
            return
        try:
            checker.check_node(node, self.context)
        except checker.ValidationError as error:
            reason = str(error).split("==>")[0].strip().rstrip(".")
            raise ModelError(f"{self.damaged} node {_named(node)}: {reason}") from error
        except UnicodeDecodeError as error:
            # What the checker says of it quotes it.
            raise ModelError(
                f"{self.damaged} node {_named(node)} has a text that is no UTF-8"
            ) from error

    def _order(self, node: NodeProto, ranks: Mapping[str, int]) -> None:
        """A ``Transpose`` names each axis once; constants are transposed by us, too."""
        if node.op_type != "Transpose" or node.domain not in _STANDARD:
            return
        for attribute in node.attribute:
            order = list(attribute.ints)
            rank = ranks.get(node.input[0], len(order))
            if attribute.name == "perm" and order and sorted(order) != list(range(rank)):
                raise ModelError(
                    f"{self.damaged} node {_named(node)} has no order of axes: {order}"
                )

    def _texts(self, graph: onnx.GraphProto) -> None:
        values = (*graph.input, *graph.output, *graph.value_info)
        names = [value.name for value in values]
        for value in values:
            tensor = value.type.tensor_type
            names += [size.dim_param for size in tensor.shape.dim]
            if tensor.elem_type and not is_element_type(tensor.elem_type):
                raise ModelError(
                    f"{self.damaged} {value.name} has elements of an unknown type, "
                    f"{tensor.elem_type}"
                )
        names += [tensor.name for tensor in graph.initializer]
        names += [sparse.values.name for sparse in graph.sparse_initializer]
        _require_texts((graph.name, *names), self.origin)

    def _once(self, names: Iterable[str], what: str) -> None:
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise ModelError(f"{self.damaged} it has the {what} {name} twice")
            seen.add(name)

    def _context(self, ir_version: int, imports: Any) -> Any:
        versions = [("ai.onnx" if e.domain in _STANDARD else e.domain, e.version) for e in imports]
        for name, version in (("ONNX", ir_version), *versions):
            if not 0 <= version <= _LARGEST_VERSION:
                raise ModelError(f"{self.damaged} {shown(name)} has no version {version}")
        context = checker.C.CheckerContext()
        context.ir_version = ir_version
        context.opset_imports = {
            "" if each.domain in _STANDARD else each.domain: each.version for each in imports
        }
        return context


def _has_schema(operator: str, version: int) -> bool:
    # ONNX Runtime has operators of its own among the standard ones.
    try:
        defs.get_schema(operator, version, "")
    except defs.SchemaError:
        return False
    return True


def _tensors(attribute: AttributeProto) -> Iterator[onnx.TensorProto]:
    if attribute.type == AttributeProto.TENSOR:
        yield attribute.t
    yield from attribute.tensors


def _named(node: NodeProto) -> str:
    return f"{node.name or next(iter(node.output), '') or 'without a name'} ({node.op_type})"


def _require_texts(texts: Iterable[str], origin: Path) -> None:
    # protobuf hands out what is no UTF-8 as bytes.
    for text in texts:
        if not isinstance(text, str):
            raise ModelError(f"{origin} is damaged: it has a name that is no UTF-8, {text!r}")
