"""Clips through a float model one after the other, for any of the values in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper

from quantkit.calibration.clip_store import ClipStore
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import CorpusError, ModelError, UnusableClipError
from quantkit.graph.external_data import external_tensors, with_external_data
from quantkit.graph.partition import PartitionedGraph, ValueType
from quantkit.runtime.errors import runtime_errors
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.runtime.session import open_session, session_options
from quantkit.tasks.inputs import Feed

__all__ = ["ClipRunner", "Feed", "Stage"]

# Of what crosses from one stage to the next, in memory.
_CROSSING_BYTES = 64_000_000
_NO_CLIP = "calibration needs at least one clip, and there is none"


@dataclass(frozen=True)
class Stage:
    """Some of the values of one clip.

    Args:
        share: of the work on this clip that this stage was.
    """

    clip: str
    values: dict[str, npt.NDArray[Any]]
    share: float


class ClipRunner:
    """A model that can be run for any of its values; close it after use.

    ::

        with closing(ClipRunner(model)) as runner:
            for clip, values in runner.run(["layer1.out"], feeds):
                print(clip, values["layer1.out"].max())

    The weights are stored in a temporary file, which ONNX Runtime maps, and each run executes only
    the nodes that the requested values depend on.

    Args:
        model: is not changed.

    Raises:
        OutputError: no room for the temporary file.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._temporary = TemporaryFolder("clips")
        self._folder = self._temporary.path
        self._runs = 0
        self._inputs = {value.name: _type_of(value) for value in model.graph.input}
        try:
            self._light = with_external_data(model, self._folder / "weights")
        except BaseException:
            self._temporary.cleanup()
            raise

    def close(self) -> None:
        """Give back the temporary files."""
        self._temporary.cleanup()

    def run(
        self,
        names: Sequence[str],
        feeds: Iterable[Feed],
        *,
        nodes: Iterable[onnx.NodeProto] = (),
        tensors: Iterable[onnx.TensorProto] = (),
    ) -> Iterator[tuple[str, dict[str, npt.NDArray[Any]]]]:
        """Name of each clip, and the values called ``names`` for it alone, at its true length.

        Memory holds the values of one clip, as long as the reader forgets them, too.

        Args:
            names: of values that the model or ``nodes`` compute, or of the model's inputs.
            feeds: clips with their inputs.
            nodes: further ones, in topological order, for this run only.
            tensors: constants that they read; one is in memory at a time.

        Raises:
            CorpusError: ``feeds`` is empty.
            ModelError: ONNX Runtime cannot run the model.
            UnusableClipError: it fails on a clip.
            OutputError: no room for ``tensors`` on disk.
        """
        computed = [name for name in dict.fromkeys(names) if name not in self._inputs]
        session = self._open(computed, nodes, tensors) if computed else None
        clips = 0
        for clip, feed in feeds:
            values = self._values(session, computed, clip, feed)
            values |= {name: feed[name] for name in names if name in self._inputs}
            yield clip, values
            # Not to be held while the next clip's are computed.
            del values
            clips += 1
        if not clips:
            raise CorpusError(_NO_CLIP)

    def run_in_stages(
        self, names: Sequence[str], feeds: Iterable[Feed], stages: int
    ) -> Iterator[Stage]:
        """As :meth:`run`, but a stage of the model after the other, each with all clips.

        Each node is run once for each clip. Memory holds the weights of one stage, the values that
        it shows of one clip, and, up to a limit, what crosses from one stage to the next; the rest
        of that lies on disk.

        Args:
            stages: largest number of stages; they end at requested values.
        """
        graph = PartitionedGraph(self._light, [name for name in names if name not in self._inputs])
        ordered = sorted(graph.outputs, key=graph.position)
        count = max(1, -(-len(ordered) // stages))
        groups = [ordered[i : i + count] for i in range(0, len(ordered), count)]
        given = [name for name in names if name in self._inputs]
        before: Iterable[Feed] = feeds
        for index, group in enumerate(groups or [[]]):
            shown = [*(given if index == 0 else ()), *group]
            crossing = self._crossing(groups[index:])
            after = ClipStore(self._folder, _CROSSING_BYTES)
            clips: list[str] = []
            session = None
            for clip, values in before:
                computed = [
                    name for name in dict.fromkeys((*group, *crossing)) if name not in values
                ]
                if session is None and computed:
                    types = {name: _type_of_array(array) for name, array in values.items()}
                    session = self._open(computed, inputs=types)
                found = {**values, **self._values(session, computed, clip, values)}
                clips.append(clip)
                after.append({name: found[name] for name in crossing})
                shown_values = {name: found[name] for name in shown}
                del values, found
                yield Stage(clip, shown_values, 1 / max(1, len(groups)))
                del shown_values
            if not clips:
                raise CorpusError(_NO_CLIP)
            before = _stored(clips, after)
            del session
            malloc_trim()

    def replace(self, tensors: Iterable[onnx.TensorProto]) -> None:
        """Let initializers have other values, from the next run or stage on."""
        others = {tensor.name: tensor for tensor in tensors}
        for tensor in self._light.graph.initializer:
            if tensor.name in others:
                tensor.CopyFrom(others[tensor.name])

    def _crossing(self, groups: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """What stages behind the first of ``groups`` read of what lies before them."""
        later = [name for group in groups[1:] for name in group]
        if not later:
            return ()
        graph = PartitionedGraph(self._light, later)
        return graph.live(graph.position(groups[0][-1]) + 1)

    def _values(
        self,
        session: onnxruntime.InferenceSession | None,
        names: Sequence[str],
        clip: str,
        feed: Mapping[str, npt.NDArray[Any]],
    ) -> dict[str, npt.NDArray[Any]]:
        try:
            with runtime_errors(f"the model fails on calibration clip {clip}"):
                return _run(session, names, feed)
        except ModelError as error:
            raise UnusableClipError(str(error), clip) from error

    def _open(
        self,
        names: Sequence[str],
        nodes: Iterable[onnx.NodeProto] = (),
        tensors: Iterable[onnx.TensorProto] = (),
        *,
        inputs: Mapping[str, ValueType] | None = None,
    ) -> onnxruntime.InferenceSession:
        path = self._folder / f"run{self._runs}.onnx"
        self._runs += 1
        whole = onnx.ModelProto()
        whole.CopyFrom(self._light)
        whole.graph.initializer.extend(external_tensors(tensors, path.with_suffix(".tensors")))
        whole.graph.node.extend(nodes)
        part = PartitionedGraph(whole, names).part(inputs or self._inputs, names)
        path.write_bytes(part.SerializeToString())
        # Packed weights take their size again, and clips run too few times to earn that back.
        options = session_options(threads=0, prepack=False, spin=False)
        try:
            return open_session(path, options)
        except ModelError as error:
            raise ModelError(str(error).replace(str(path), "the model")) from error


def _stored(clips: Sequence[str], store: ClipStore) -> Iterator[Feed]:
    """Each clip with what was kept of it, which is then forgotten."""
    for index, clip in enumerate(clips):
        yield clip, store[index]
        store.forget(index)
    store.close()


def _run(
    session: onnxruntime.InferenceSession | None,
    names: Sequence[str],
    feed: Mapping[str, npt.NDArray[Any]],
) -> dict[str, npt.NDArray[Any]]:
    if session is None:
        return {}
    wanted = {value.name for value in session.get_inputs()}
    inputs = {name: values for name, values in feed.items() if name in wanted}
    return dict(zip(names, session.run(names, inputs), strict=True))


def _type_of_array(array: npt.NDArray[Any]) -> ValueType:
    """For clips of any length."""
    return ValueType(helper.np_dtype_to_tensor_dtype(array.dtype), (None,) * array.ndim)


def _type_of(value: onnx.ValueInfoProto) -> ValueType:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return ValueType(kind.elem_type)
    sizes = (dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
    return ValueType(kind.elem_type, tuple(sizes))
