"""From layer to layer through a graph, with what lies before each one computed only once.

To see what a change in one layer does to the result, only this layer and what lies behind it has
to run. The walk keeps, for every clip, the values that cross the graph before the layer at hand
and nothing else; to go on to the next layer, it runs the few nodes between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import onnx
import onnxruntime

from quantkit.arrays import Array
from quantkit.calibration.calibrate import Feed
from quantkit.calibration.clip_store import ClipStore
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import CorpusError, ModelError
from quantkit.graph.external_data import with_external_data
from quantkit.graph.partition import PartitionedGraph, ValueType
from quantkit.runtime.errors import runtime_errors
from quantkit.runtime.parallel import side_by_side
from quantkit.runtime.session import open_session, session_options

Values = Mapping[str, Array]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Unit:
    """Nodes of one layer that follow each other in the graph.

    Args:
        layer: what messages name it by.
        first, last: positions of its nodes.
    """

    layer: str
    first: int
    last: int


class Part:
    """A part of the model that is ready to run; may be run by several threads at once."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._inputs = [value.name for value in session.get_inputs()]
        self.outputs = [value.name for value in session.get_outputs()]

    def run(self, values: Values, clip: str) -> dict[str, Array]:
        """Outputs by name from ``values``, which may hold more than is needed.

        Raises:
            ModelError: ONNX Runtime fails on them.
        """
        feed = {name: values[name] for name in self._inputs}
        with runtime_errors(f"the model fails on clip {clip}"):
            found = self._session.run(self.outputs, feed)
        return dict(zip(self.outputs, found, strict=True))


class Walk:
    """A walk through one model with some clips; to be closed in the end.

    ::

        with closing(Walk(model, "log_probs", feeds, memory=64_000_000)) as walk:
            for unit in units:
                stop = walk.go_to(unit)
                for clip in range(len(walk.clips)):
                    changed = change(stop.inputs(clip))
                    posteriors = stop.finish(clip, changed)

    The weights lie in one temporary file that all parts read, so that a part costs little memory
    beside what its kernels need.

    Args:
        model: float, or one whose layers compute in float; is not changed.
        output: name of the output that is wanted.
        feeds: clips with their inputs; each is read once.
        memory: bytes of activations to keep in memory; what is beyond lies on disk meanwhile.
        pool: runs clips side by side; None: one after the other.

    Raises:
        ModelError: ONNX Runtime cannot run the model, or fails on a clip.
        CorpusError: ``feeds`` is empty.
        OutputError: no room for temporary files.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        output: str,
        feeds: Iterable[Feed],
        *,
        memory: int,
        pool: Executor | None = None,
    ) -> None:
        self.output = output
        self._pool = pool
        self.clips: list[str] = []
        self._memory = memory
        self._temporary = TemporaryFolder("walk")
        self.folder = self._temporary.path
        self._parts = 0
        self._position = 0
        try:
            light = with_external_data(model, self.folder / "weights")
            self.graph = PartitionedGraph(light, [output])
            self._store = self._new_store()
            for clip, inputs in feeds:
                self.clips.append(clip)
                self._store.append({name: inputs[name] for name in self._crossing(0, inputs)})
            if not self.clips:
                raise CorpusError("measuring needs at least one clip, and there is none")
        except BaseException:
            self._temporary.cleanup()
            raise

    def close(self) -> None:
        """Give back the temporary files; may be called again."""
        self._temporary.cleanup()

    def results(self) -> Iterator[Array]:
        """The requested output for each clip, computed from the current position."""
        part = self.part(self._store.types, [self.output])

        def run(index: int) -> Array:
            return part.run(self._store[index], self.clips[index])[self.output]

        yield from self._each_clip(run)

    def feeds(self) -> Iterator[Feed]:
        """The clips with the values at the current position: initially the graph's inputs."""
        for index, clip in enumerate(self.clips):
            yield clip, self._store[index]

    def go_to(self, unit: Unit) -> Stop:
        """Walk on to ``unit``, which must not lie behind.

        The stop is to be done with before the walk goes on.
        """
        self.pass_by(unit)
        made = [name for name in self.graph.live(unit.last + 1) if name not in self._store.types]
        part = self.part(self._store.types, made)
        after = self._new_store()

        def run(index: int) -> dict[str, Array]:
            return part.run(self._store[index], self.clips[index])

        for values in self._each_clip(run):
            after.append(values)
        return Stop(self, unit, self._store, after)

    def pass_by(self, unit: Unit) -> None:
        """Walk on to ``unit`` without a stop.

        Parts that begin and end elsewhere may round differently: a walk that passes all units
        gives the same bits at each, whether it stopped at the others or not.
        """
        self._advance(unit.first)

    def part(self, inputs: Mapping[str, ValueType], outputs: Sequence[str]) -> Part:
        """A part of the model on one thread.

        Raises:
            ModelError: it cannot be cut out, or ONNX Runtime cannot run it.
        """
        return self.open(self.graph.part(inputs, outputs))

    def open(self, model: onnx.ModelProto) -> Part:
        """Any model that this one's weights belong to, or that has its own, on one thread."""
        self._parts += 1
        path = self.folder / f"part{self._parts}.onnx"
        path.write_bytes(model.SerializeToString())
        # Packing weights for the kernels costs their size again, and longer than it saves here.
        options = session_options(prepack=False)
        try:
            return Part(open_session(path, options))
        except ModelError as error:
            raise ModelError(str(error).replace(str(path), "the model")) from error
        finally:
            path.unlink()

    def _advance(self, position: int) -> None:
        crossing = self.graph.live(position)
        types = self._store.types
        made = [name for name in crossing if name not in types]
        part = self.part(types, made) if made else None
        store = self._new_store()

        def run(index: int) -> dict[str, Array]:
            values = self._store[index]
            if part is not None:
                values |= part.run(values, self.clips[index])
            return {name: values[name] for name in crossing}

        for index, values in enumerate(self._each_clip(run)):
            self._store.forget(index)
            store.append(values)
        self._store.close()
        self._store = store

    def _crossing(self, position: int, given: Values) -> tuple[str, ...]:
        names = self.graph.live(position)
        for name in names:
            if name not in given:
                raise ModelError(f"the model has an input {name}, which the clips do not give")
        return names

    def _each_clip(self, run: Callable[[int], Result]) -> Iterator[Result]:
        return side_by_side(self._pool, run, range(len(self.clips)))

    def _new_store(self) -> ClipStore:
        return ClipStore(self.folder, self._memory)


class Stop:
    """One layer: what comes before it is known, what lies behind it is ready to run.

    Args:
        walk: is at ``unit`` now.
        before: what crosses the graph before the layer.
        after: what the layer makes of it.
    """

    def __init__(self, walk: Walk, unit: Unit, before: ClipStore, after: ClipStore) -> None:
        self.unit = unit
        self._walk = walk
        self._before = before
        self._after = after
        self._rest: Part | None = None

    @property
    def input_types(self) -> Mapping[str, ValueType]:
        """Types of :meth:`inputs`."""
        return self._before.types

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what the layer makes that is needed behind it."""
        return tuple(self._after.types)

    def inputs(self, clip: int) -> dict[str, Array]:
        """All values that cross the graph before the layer."""
        return self._before[clip]

    def made(self, clip: int) -> dict[str, Array]:
        """What the layer makes of them in this model."""
        return self._after[clip]

    def prepare(self, replaced: Mapping[str, ValueType] | None = None) -> None:
        """Make the rest of the model ready.

        Args:
            replaced: constants behind the layer that :meth:`finish` will be given, with their
                types: other layers may share the weight of this one.
        """
        types = {**self._before.types, **self._after.types}
        crossing = {name: types[name] for name in self._walk.graph.live(self.unit.last + 1)}
        if self._walk.output not in crossing:
            self._rest = self._walk.part({**crossing, **(replaced or {})}, [self._walk.output])

    def finish(self, clip: int, made: Values, replaced: Values | None = None) -> Array:
        """The wanted output if the layer had made ``made`` of the clip.

        Raises:
            ModelError: ONNX Runtime fails on it.
        """
        if self._rest is None:
            return np.asarray(made[self._walk.output])
        values = {**self._before[clip], **made, **(replaced or {})}
        return self._rest.run(values, self._walk.clips[clip])[self._walk.output]
