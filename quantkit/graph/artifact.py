"""Reading and writing artifacts: ``.onnx`` files that say in their metadata what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import onnx
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]
from onnx.external_data_helper import uses_external_data

from quantkit.disk.files import output_target
from quantkit.disk.replacing import replaced_together, settled
from quantkit.errors import FormatError, ModelError
from quantkit.graph.external_place import ExternalPlace
from quantkit.graph.info import ArtifactInfo, info_of
from quantkit.graph.integrity import CHECKSUM_KEY, append_checksum, check_integrity
from quantkit.graph.joined import files_of, join, roles_of, set_files, split
from quantkit.graph.lazy import LazyModel
from quantkit.graph.model_file import read_model_file
from quantkit.graph.roles import GraphRole, roles_in
from quantkit.graph.tensors import embed, leave_in_file, move_out, raw_bytes, raw_size
from quantkit.graph.translating import translations_of

T = TypeVar("T")

#: Who made the file, as its first bytes say.
PRODUCER = "quantkit"

# Protobuf cannot hold 2 GiB in one message; a round 2 GB leaves room for the graph itself.
EXTERNAL_DATA_THRESHOLD = 2_000_000_000

# Shape and scale constants stay in the graph, where shape inference can read them.
_SMALLEST_EXTERNAL_TENSOR = 1024


def read_info(path: Path, *, check: bool = True) -> ArtifactInfo:
    """Metadata of the model at ``path``.

    Args:
        check: compare file and external weights with the artifact's checksum, which a foreign
            model has none of. Leave it out for a file that was compared already.

    Raises:
        ModelError: the file is missing, damaged, not ONNX, or its metadata is another model's.
    """
    (_, first), *others = _read_intact(path) if check else _read_graphs(path)
    for _, lazy in others:
        # The plan names the layers of all.
        first.model.graph.node.extend(lazy.model.graph.node)
        first.model.graph.initializer.extend(lazy.model.graph.initializer)
    return info_of(first.model, str(path))


def load_model(path: Path, *, check: bool = True) -> onnx.ModelProto:
    """The whole model with its weights, external ones included.

    Args:
        check: see :func:`read_info`.

    Raises:
        ModelError: missing, damaged, not ONNX, or an external file is missing or too short.
    """
    model = open_model(path, check=check)
    embed(model.graph.initializer)
    return model


@dataclass(frozen=True)
class OpenedModel:
    """A model in memory, and the files that it came from.

    Args:
        graph: with its large weights left in the files; see :mod:`quantkit.graph.tensors`. Several
            graphs are joined to one; see :mod:`quantkit.graph.joined`.
        files: of all graphs and their external weights, that of the first graph first.
    """

    graph: onnx.ModelProto
    files: tuple[Path, ...]

    @property
    def size_bytes(self) -> int:
        """On disk."""
        return sum(file.stat().st_size for file in self.files)


def open_files(path: Path, *, check: bool = True) -> OpenedModel:
    """The model at ``path``; each of its files is read once.

    The files must stay in place as long as the model is used.

    Args, Raises: see :func:`load_model`.
    """
    graphs = _read_intact(path) if check else _read_graphs(path)
    files = _files_of(graphs)
    return OpenedModel(join([_opened(lazy, file) for file, lazy in graphs]), tuple(files))


def open_model(path: Path, *, check: bool = True) -> onnx.ModelProto:
    """The graph of :func:`open_files`.

    Args, Raises: see :func:`load_model`.
    """
    return open_files(path, check=check).graph


def _opened(light: LazyModel, path: Path) -> onnx.ModelProto:
    model = light.model
    _drop_checksum(model)
    for tensor in _tensors(model):
        if uses_external_data(tensor):
            # So that it is found from anywhere.
            place = ExternalPlace.of(tensor, path)
            file = place.file(path)
            place.require_length(file, path)
            leave_in_file(tensor, file, place.offset, place.length)
    for index, (offset, length) in light.places.items():
        leave_in_file(model.graph.initializer[index], path.resolve(), offset, length)
    embed(_inner_tensors(model))
    return model


def save_model(
    model: onnx.ModelProto, path: Path, *, external_threshold: int = EXTERNAL_DATA_THRESHOLD
) -> None:
    """Write ``model`` so that a crash leaves the old file or the new one.

    When the weights take more than ``external_threshold`` bytes they go to ``<name>.onnx.data``
    beside the model. Each of several graphs is a file of its own; see
    :mod:`quantkit.graph.roles`.
    A model with ``quantkit.*`` metadata gets a checksum, see :mod:`quantkit.graph.integrity`.
    ``model`` itself is unchanged afterwards, except that it loses the checksum of the file that it
    was read from.

    Raises:
        OutputError: the folder or disk refuses.
        ModelError: the graph without its weights is still too large for protobuf.
    """
    with replaced_together(path) as folder:
        # The weights belong beside the model itself, not beside a link to it.
        _save_graphs(model, folder / output_target(path).name, external_threshold)


def _save_graphs(model: onnx.ModelProto, path: Path, external_threshold: int) -> None:
    """Write all files of ``model`` into an empty folder, the first graph as ``path``.

    Raises:
        OSError: the folder or disk refuses.
        ModelError: see :func:`save_model`.
    """
    _drop_checksum(model)
    graphs = [model]
    files = files_of(model, path)
    kept = translations_of(model)
    if len(files) > 1 or (kept is not None and kept.kept):
        graphs = split(model)
        set_files(graphs[0], path)
    written: list[Path] = []
    for graph, file in zip(graphs[1:], files[1:], strict=True):
        _save(graph, file, external_threshold, ())
        written += [file, *_external_files(read_model_file(file).model, file)]
    _save(graphs[0], path, external_threshold, written)


def _save(
    model: onnx.ModelProto, path: Path, external_threshold: int, beside: Sequence[Path]
) -> None:
    """Write one file, and that of its weights where it needs one.

    Args:
        beside: further files that its checksum vouches for.
    """
    if _weight_bytes(model) <= external_threshold:
        embed(model.graph.initializer)
        path.write_bytes(_serialized(model, path))
        if _is_ours(model):
            append_checksum(path, beside)
        return
    data_path = path.with_name(path.name + ".data")
    moved: list[tuple[onnx.TensorProto, onnx.TensorProto]] = []
    try:
        with data_path.open("wb") as stream:
            for tensor in _tensors(model):
                if raw_size(tensor) >= _SMALLEST_EXTERNAL_TENSOR:
                    before = onnx.TensorProto()
                    before.CopyFrom(tensor)
                    moved.append((tensor, before))
                    move_out(tensor, raw_bytes(tensor), stream, data_path.name)
        path.write_bytes(_serialized(model, path))
        if _is_ours(model):
            append_checksum(path, [data_path, *beside])
    finally:
        for tensor, before in moved:
            tensor.CopyFrom(before)


def save_checked_model(
    model: onnx.ModelProto,
    path: Path,
    check: Callable[[Path], T],
    *,
    external_threshold: int = EXTERNAL_DATA_THRESHOLD,
) -> T:
    """Write ``model``; it replaces what was at ``path`` only when ``check`` returns.

    Args:
        check: is given the finished file in a folder of its own; what it returns is passed on,
            what it raises leaves ``path`` as it was.

    Raises:
        OutputError, ModelError: see :func:`save_model`.
    """
    with replaced_together(path) as folder:
        candidate = folder / output_target(path).name
        _save_graphs(model, candidate, external_threshold)
        return check(candidate)


def total_size(path: Path) -> int:
    """Bytes on disk of the ``.onnx`` and of every other file of the model.

    Raises:
        ModelError: the model cannot be read, or one of its files is missing.
    """
    return sum(file.stat().st_size for file in _files_of(_read_graphs(path)))


def model_files(path: Path) -> tuple[Path, ...]:
    """The ``.onnx`` files that are opened to run the model at ``path``, in the order of a run.

    Raises:
        ModelError: the model cannot be read, or one of its files is missing.
    """
    return (path, *_further_graphs(read_model_file(path).model, path))


def graph_roles(path: Path) -> tuple[GraphRole, ...]:
    """The graphs that the model at ``path`` is made of, in the order of a run.

    Those of an encoder and a decoder are without outputs and states; see
    :func:`~quantkit.graph.roles.roles_in`.

    Raises:
        ModelError: the model cannot be read, or its list of graphs is damaged.
    """
    metadata = {entry.key: entry.value for entry in read_model_file(path).model.metadata_props}
    try:
        return roles_in(metadata)
    except FormatError as error:
        raise ModelError(f"{path}: its quantkit metadata is damaged: {error}") from error


def _is_ours(model: onnx.ModelProto) -> bool:
    # The first bytes of a file say who made it, the last ones what it is: a file that was cut off
    # between the two is still known as ours. In a damaged file, a string may come as bytes.
    return model.producer_name == PRODUCER or any(
        str(entry.key).startswith("quantkit.") for entry in model.metadata_props
    )


def _require_intact(graphs: Sequence[tuple[Path, LazyModel]]) -> None:
    path, first = graphs[0]
    # Other tools keep metadata that they do not know: what has nothing of ours, is not ours.
    if _is_ours(first.model):
        check_integrity(path, _files_of(graphs)[1:])


def _drop_checksum(model: onnx.ModelProto) -> None:
    """Take away what belongs to one file, not to the model."""
    entries = model.metadata_props
    for index in reversed(range(len(entries))):
        if entries[index].key == CHECKSUM_KEY:
            del entries[index]


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.initializer:
                    yield from _graphs(inner)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    yield from _inner_tensors(model)


def _inner_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Those of subgraphs and of nodes."""
    for depth, graph in enumerate(_graphs(model.graph)):
        if depth:
            yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.TENSOR:
                    yield attribute.t


def _weight_bytes(model: onnx.ModelProto) -> int:
    # Summed by hand: ByteSize() of a message beyond protobuf's limit raises instead of telling.
    return sum(raw_size(tensor) for tensor in _tensors(model))


def _serialized(model: onnx.ModelProto, path: Path) -> bytes:
    try:
        content: bytes = model.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise ModelError(f"cannot write {path.name}: {error}") from error
    return content


def _further_graphs(model: onnx.ModelProto, path: Path) -> list[Path]:
    """The files of all graphs but the first, of a model that has several."""
    files = []
    for role in roles_of(model)[1:]:
        file = path.parent / role.file
        if not role.file or Path(role.file).name != role.file:
            raise ModelError(f"{path}: its {role.role} lies outside its folder: {role.file}")
        if not file.is_file():
            raise ModelError(f"{path}: its {role.role} {role.file} is missing; copy it beside it")
        files.append(file)
    return files


def _read_graphs(path: Path) -> list[tuple[Path, LazyModel]]:
    """Each graph of the model at ``path`` with its file, in the order of a run."""
    first = read_model_file(path)
    further = _further_graphs(first.model, path)
    return [(path, first), *((file, read_model_file(file)) for file in further)]


def _read_intact(path: Path) -> list[tuple[Path, LazyModel]]:
    """As :func:`_read_graphs`, compared with the checksum.

    Raises:
        ModelError: the files are damaged, or are not of one model.
    """
    before = _stamps(path)
    try:
        graphs = _read_graphs(path)
        _require_intact(graphs)
    except ModelError:
        # Another process may be replacing them just now, or was killed while it did.
        if not settled(path.resolve().parent) and _stamps(path) == before:
            raise
        graphs = _read_graphs(path)
        _require_intact(graphs)
    return graphs


def _stamps(path: Path) -> tuple[int, int] | None:
    """What is another one after a file was replaced."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _files_of(graphs: Sequence[tuple[Path, LazyModel]]) -> list[Path]:
    """All files of a model: that of each graph, followed by those of its weights."""
    return [each for file, lazy in graphs for each in (file, *_external_files(lazy.model, file))]


def _external_files(model: onnx.ModelProto, path: Path) -> list[Path]:
    """In the order of their names in the model."""
    places = [ExternalPlace.of(t, path) for t in _tensors(model) if uses_external_data(t)]
    first = {place.location: place for place in reversed(places)}
    return list(dict.fromkeys(first[location].file(path) for location in sorted(first)))
