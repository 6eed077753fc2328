"""Functions of a model's own are put where they are called."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import inliner

from quantkit.conversion.upgrade import STANDARD, TARGET, is_changed, upgrade
from quantkit.errors import ModelError
from quantkit.graph.opset import raise_opset
from quantkit.graph.partition import bodies

# A few functions that call each other twice each make a graph that no memory holds.
_MOST_NODES = 1_000_000


def inline_functions(model: onnx.ModelProto) -> str:
    """Inline all functions of ``model``, in place; its large weights may be left in a file.

    Returns:
        What was done, in words; empty where there are none.

    Raises:
        ModelError: a function calls itself, or is of an operator set that cannot be converted.
    """
    if not model.functions:
        return ""
    names = sorted({function.name for function in model.functions})
    _require_an_end(model)
    _agree_on_opset(model)
    try:
        inlined = inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"its function {names[0]} cannot be inlined: {reason}") from error
    if inlined.functions:
        left = inlined.functions[0].name
        raise ModelError(f"its function {left} cannot be inlined; export it anew without functions")
    domains = {node.domain for node in _nodes(inlined.graph)} | set(STANDARD)
    used = [entry for entry in inlined.opset_import if entry.domain in domains]
    del inlined.opset_import[:]
    inlined.opset_import.extend(used)
    model.CopyFrom(inlined)
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    count = f"{len(names)} functions are" if len(names) > 1 else "a function is"
    return f"{count} inlined ({shown})"


def _agree_on_opset(model: onnx.ModelProto) -> None:
    """Let functions and the graph have one opset: the inliner leaves others as they are."""
    owners = (model, *model.functions)
    imports = [e for o in owners for e in o.opset_import if e.domain in STANDARD]
    versions = {entry.version for entry in imports}
    if len(versions) < 2:
        return
    newest = max(*versions, TARGET)
    upgrade(model)
    for function in model.functions:
        for entry in function.opset_import:
            if entry.domain not in STANDARD or entry.version >= TARGET:
                continue
            for node in _inside(function.node):
                if is_changed(node, entry.version):
                    raise ModelError(
                        f"its function {function.name} has opset {entry.version}, and "
                        f"{node.op_type} means something else in {newest}; export it anew without "
                        "functions"
                    )
            entry.version = TARGET
    raise_opset(model, newest)


def _require_an_end(model: onnx.ModelProto) -> None:
    functions = {(each.domain, each.name): each for each in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    open_: set[tuple[str, str]] = set()

    def size_of(nodes: list[onnx.NodeProto]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            total += 1 if key not in functions else size_of_function(key)
        return total

    def size_of_function(key: tuple[str, str]) -> int:
        if key in open_:
            raise ModelError(f"its function {key[1]} calls itself")
        if key not in sizes:
            open_.add(key)
            sizes[key] = size_of(list(_inside(functions[key].node)))
            open_.discard(key)
        return sizes[key]

    if size_of(list(_nodes(model.graph))) > _MOST_NODES:
        raise ModelError(f"its functions hold more than {_MOST_NODES:,} nodes when inlined")


def _nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    return _inside(graph.node)


def _inside(nodes: Iterable[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """``nodes``, and all in their bodies."""
    found: list[onnx.NodeProto] = []
    for node in nodes:
        found.append(node)
        for body in bodies(node):
            found += _nodes(body)
    return found
