"""A model of several graphs that is worked on as one; see :mod:`quantkit.graph.roles`.

The whole graph computes everything in one run, so one analysis, one plan and one quantization serve
all its parts. It is cut where values go from one part to a later one: those are outputs of the
whole graph, too, so nothing that rewrites the graph takes them away.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from quantkit.errors import FormatError, ModelError
from quantkit.graph.merged_decoder import merge, unmerge
from quantkit.graph.partition import bodies, reads
from quantkit.graph.roles import (
    CROSSING,
    DECODER_KEY,
    GRAPHS_KEY,
    GraphRole,
    beside,
    padded_name,
    roles_in,
    roles_to_json,
    short_form,
)
from quantkit.graph.tensors import raw_bytes
from quantkit.graph.translating import give_back, translate, translations_of
from quantkit.graph.translation import Translations
from quantkit.graph.two_decoders import as_four, as_pair

_OWN_NAMES = "two graphs call different values {}: give the values of each graph names of their own"


def graph_entries(model: onnx.ModelProto) -> dict[str, str]:
    """The metadata entries of ``model`` that say which graphs it is made of."""
    entries = {entry.key: entry.value for entry in model.metadata_props}
    return {key: entries[key] for key in (GRAPHS_KEY, DECODER_KEY) if entries.get(key)}


def roles_of(model: onnx.ModelProto) -> tuple[GraphRole, ...]:
    """The graphs that ``model`` is made of: the first of them alone, or all of them joined.

    Raises:
        ModelError: its list of them is damaged.
    """
    graph = model.graph
    outputs = tuple(value.name for value in graph.output)
    entries = graph_entries(model)
    try:
        roles = roles_in(entries)
        if len(roles) == 1:
            return (replace(roles[0], outputs=outputs),)
        if GRAPHS_KEY in entries:
            return roles
        shapes = {value.name: _shape(value) for value in graph.input}
        return short_form(outputs, shapes, roles[1].file)
    except FormatError as error:
        raise ModelError(f"its quantkit metadata is damaged: {error}") from error


def set_roles(model: onnx.ModelProto, roles: Sequence[GraphRole]) -> None:
    """Let the metadata of ``model`` say that it is made of several graphs.

    Args:
        roles: in the order of a run; each output of the whole graph belongs to one of them.
    """
    _set_entry(model, GRAPHS_KEY, roles_to_json(roles))


def set_short_form(model: onnx.ModelProto, file: str = "unnamed.decoder.onnx") -> None:
    """Let ``model`` be an encoder and its decoder, with values named accordingly.

    Args:
        file: name of the decoder's file, which saving replaces.
    """
    _set_entry(model, DECODER_KEY, padded_name(file))


def files_of(model: onnx.ModelProto, path: Path) -> tuple[Path, ...]:
    """The files that the graphs of ``model`` are written to, ``path`` first.

    Those with the inputs and outputs of the originals are called as the program of these calls
    them, with what ``path`` has in addition; see :mod:`quantkit.graph.translation`.
    """
    others = roles_of(model)[1:]
    kept = translations_of(model)
    if kept is not None and kept.kept:
        stems = [each.file.removesuffix(".onnx") for each in kept.graphs]
        name = path.name.removesuffix(".onnx")
        added = name.removeprefix(stems[0]) if name.startswith(stems[0]) else ""
        return (path, *(path.with_name(f"{stem}{added}.onnx") for stem in stems[1:]))
    return (path, *(beside(path, role.role) for role in others))


def set_files(model: onnx.ModelProto, path: Path) -> None:
    """Let the metadata of ``model`` name the files of :func:`files_of`."""
    first, *others = roles_of(model)
    files = files_of(model, path)[1:]
    roles = (first, *(replace(r, file=f.name) for r, f in zip(others, files, strict=False)))
    if (published := _four_kept(model)) is not None:
        _set_published_roles(model, published, files)
    elif GRAPHS_KEY in graph_entries(model):
        set_roles(model, roles)
    else:
        set_short_form(model, roles[1].file)


def join(models: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """The whole graph; the first model becomes it, and its metadata stay.

    Inputs of a later graph that have the names of outputs of an earlier one are connected. The
    outputs of the last graph, what the model is for, come first. Graphs that have the inputs and
    outputs of somebody's model are given ours.

    Args:
        models: in the order of a run; the metadata of the first list their roles.

    Raises:
        ModelError: the models do not belong together.
    """
    whole = models[0]
    translations = translations_of(whole)
    if translations is not None and translations.kept:
        if len(translations.graphs) != len(models):
            raise ModelError("the graphs do not fit each other: they are of different models")
        if translations.merged:
            models = unmerge(models)
        elif translations.two_decoders:
            models = as_pair(models, translations)
            _drop_entry(whole, GRAPHS_KEY)
            set_short_form(whole)
        else:
            for model, translation in zip(models, translations.graphs, strict=True):
                translate(model, translation)
    if len(models) == 1:
        return whole
    _require_connected(models)
    graph = whole.graph
    outputs = [list(model.graph.output) for model in models]
    made = {name: node for node in graph.node for name in node.output}
    known = {tensor.name: tensor for tensor in graph.initializer}
    taken = {value.name for value in graph.input}
    handed: set[str] = set()
    for earlier, model in itertools.pairwise(models):
        handed |= {value.name for value in earlier.graph.output}
        for node in _new_nodes(model, made):
            graph.node.append(node)
            made |= dict.fromkeys(node.output, node)
        new = _new_constants(model, known)
        graph.initializer.extend(new)
        known |= {tensor.name: tensor for tensor in new}
        inputs = [v for v in model.graph.input if v.name not in handed and v.name not in taken]
        if twice := next((v.name for v in inputs if v.name in made), ""):
            raise ModelError(_OWN_NAMES.format(twice))
        graph.input.extend(inputs)
        taken |= {value.name for value in inputs}
        _take_over_opsets(whole, model)
    del graph.output[:]
    graph.output.extend(value for values in reversed(outputs) for value in values)
    return whole


def split(whole: onnx.ModelProto) -> list[onnx.ModelProto]:
    """The graphs of ``whole``, which is not changed, in the order of a run.

    The first has the metadata. What several of them need, and none hands to the others, each has.
    Where the files are to have the inputs and outputs of somebody's model, so have the graphs.

    Raises:
        ModelError: outputs of the whole graph are not those of its parts.
    """
    parts = [_part(whole, piece) for piece in _pieces(whole)]
    translations = translations_of(whole)
    if translations is not None and translations.kept:
        if translations.merged:
            return merge(parts, translations)
        if translations.two_decoders:
            return as_four(parts, translations)
        for part, translation in zip(parts, translations.graphs, strict=True):
            give_back(part, translation)
    return parts


def repeated_nodes(whole: onnx.ModelProto) -> frozenset[str]:
    """Names of the nodes that are run again for each token.

    Empty for a model of one graph.
    """
    if len(roles := roles_of(whole)) == 1:
        return frozenset()
    return frozenset(
        whole.graph.node[index].name
        for role, piece in zip(roles, _pieces(whole), strict=True)
        if role.per_token
        for index in piece.nodes
    )


def add_prefix(graph: onnx.GraphProto, prefix: str) -> None:
    """Make the names of a graph unique among those of others; inputs and outputs keep theirs."""
    fixed = {value.name for value in (*graph.input, *graph.output)}

    def named(name: str) -> str:
        return name if not name or name in fixed else prefix + name

    def rename(graph: onnx.GraphProto) -> None:
        for tensor in graph.initializer:
            tensor.name = named(tensor.name)
        for node in graph.node:
            node.name = prefix + node.name
            node.input[:] = [named(name) for name in node.input]
            node.output[:] = [named(name) for name in node.output]
            for body in bodies(node):
                rename(body)
                for value in (*body.input, *body.output):
                    value.name = named(value.name)

    rename(graph)


@dataclass(frozen=True)
class _Piece:
    """Part of a whole graph.

    Args:
        nodes: their positions, ascending.
        values: names of all that is read or computed in it.
        given: outputs of earlier parts that it reads.
        outputs: what it computes for others.
    """

    nodes: tuple[int, ...]
    values: frozenset[str]
    given: tuple[onnx.ValueInfoProto, ...]
    outputs: tuple[onnx.ValueInfoProto, ...]
    is_first: bool


def _pieces(whole: onnx.ModelProto) -> list[_Piece]:
    outputs = {value.name: value for value in whole.graph.output}
    roles = roles_of(whole)
    listed = [name for role in roles for name in role.outputs]
    if sorted(listed) != sorted(outputs) or not all(role.outputs for role in roles):
        expected = "; ".join(f"{r.role}: {', '.join(r.outputs) or 'nothing'}" for r in roles)
        raise ModelError(
            f"the graph cannot be cut into its parts: its outputs are {', '.join(outputs)}, and "
            f"those of its parts {expected}"
        )
    reading = [tuple(reads(node)) for node in whole.graph.node]
    producers = {name: i for i, node in enumerate(whole.graph.node) for name in node.output if name}
    pieces: list[_Piece] = []
    earlier: set[str] = set()
    for role in roles:
        values, nodes = _needed(role.outputs, earlier, producers, reading)
        pieces.append(
            _Piece(
                nodes=tuple(sorted(nodes)),
                values=frozenset(values),
                given=tuple(v for name, v in outputs.items() if name in earlier & values),
                outputs=tuple(v for name, v in outputs.items() if name in role.outputs),
                is_first=not pieces,
            )
        )
        earlier |= {*role.outputs}
    return pieces


def _needed(
    outputs: Iterable[str],
    given: Collection[str],
    producers: Mapping[str, int],
    reading: Sequence[tuple[str, ...]],
) -> tuple[set[str], set[int]]:
    """Values and nodes that ``outputs`` are computed with when ``given`` is there already."""
    values, nodes = {*outputs}, set[int]()
    pending = [*values]
    while pending:
        value = pending.pop()
        index = None if value in given else producers.get(value)
        if index is None:
            continue
        nodes.add(index)
        for name in reading[index]:
            if name not in values:
                values.add(name)
                pending.append(name)
    return values, nodes


def _part(whole: onnx.ModelProto, piece: _Piece) -> onnx.ModelProto:
    part = onnx.ModelProto(
        ir_version=whole.ir_version,
        producer_name=whole.producer_name,
        producer_version=whole.producer_version,
        opset_import=whole.opset_import,
    )
    graph = part.graph
    graph.name = whole.graph.name
    graph.node.extend(whole.graph.node[index] for index in piece.nodes)
    graph.initializer.extend(t for t in whole.graph.initializer if t.name in piece.values)
    graph.input.extend(v for v in whole.graph.input if v.name in piece.values)
    graph.input.extend(piece.given)
    graph.output.extend(piece.outputs)
    if piece.is_first:
        part.metadata_props.extend(whole.metadata_props)
    return part


def _require_connected(models: Sequence[onnx.ModelProto]) -> None:
    """Refuse files that other models were made of."""
    made = [{value.name for value in model.graph.output} for model in models]
    if GRAPHS_KEY in graph_entries(models[0]):
        expected = [{*role.outputs} for role in roles_of(models[0])]
    else:
        # What the decoder makes is not listed, but what it reads has names of its own.
        names = {value.name for value in models[1].graph.input}
        expected = [{name for name in names if name.startswith(CROSSING)}, made[1]]
    if made != expected or not all(made):
        raise ModelError("the graphs do not fit each other: they are of different models")


def _new_nodes(
    model: onnx.ModelProto, made: Mapping[str, onnx.NodeProto]
) -> Iterator[onnx.NodeProto]:
    """The nodes of a further graph; what others compute from the same values is there already."""
    for node in model.graph.node:
        same = next((made[name] for name in node.output if name in made), None)
        if same is None:
            yield node
        elif same != node:
            raise ModelError(_OWN_NAMES.format(node.output[0]))


def _new_constants(
    model: onnx.ModelProto, known: Mapping[str, onnx.TensorProto]
) -> list[onnx.TensorProto]:
    """The constants of a further graph but those that others have, too."""
    new = []
    for tensor in model.graph.initializer:
        same = known.get(tensor.name)
        if same is None:
            new.append(tensor)
        elif same.dims != tensor.dims or raw_bytes(same) != raw_bytes(tensor):
            raise ModelError(_OWN_NAMES.format(tensor.name))
    return new


def _take_over_opsets(whole: onnx.ModelProto, model: onnx.ModelProto) -> None:
    ours = {opset.domain: opset for opset in whole.opset_import}
    for opset in model.opset_import:
        if opset.domain not in ours:
            whole.opset_import.append(opset)
        elif ours[opset.domain].version != opset.version:
            raise ModelError("the graphs of the model have different operator sets")


def _four_kept(model: onnx.ModelProto) -> Translations | None:
    """The translations of a model that has more files than graphs while it is worked on."""
    found = translations_of(model)
    return found if found is not None and found.kept and found.two_decoders else None


def _set_published_roles(
    model: onnx.ModelProto, published: Translations, files: Sequence[Path]
) -> None:
    """Let the metadata list the published graphs, in the place of an encoder and its decoder."""
    _drop_entry(model, DECODER_KEY)
    names = ["", *(file.name for file in files)]
    set_roles(
        model,
        [
            GraphRole(each.role, tuple(value.name for value in each.outputs), file=name)
            for each, name in zip(published.graphs, names, strict=True)
        ],
    )


def _drop_entry(model: onnx.ModelProto, key: str) -> None:
    for index in reversed(range(len(model.metadata_props))):
        if model.metadata_props[index].key == key:
            del model.metadata_props[index]


def _set_entry(model: onnx.ModelProto, key: str, value: str) -> None:
    for entry in model.metadata_props:
        if entry.key == key:
            entry.value = value
            return
    model.metadata_props.add(key=key, value=value)


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]
