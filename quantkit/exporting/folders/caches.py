"""What somebody's graph remembers from one chunk to the next, and how its chunks follow.

Such graphs have an output for each cache among their inputs: icefall's ``cached_key_0`` and
``new_cached_key_0``, NeMo's ``cache_last_time`` and ``cache_last_time_next``. The length of a chunk
and the step from one to the next are in the metadata: ``T`` and ``decode_chunk_len``, or
``window_size`` and ``chunk_shift``. NeMo's exporter leaves axes of caches open, whose sizes are in
the metadata, too: ``cache_last_time_dim1`` and so on (sherpa-onnx 2.0,
``online-zipformer2-transducer-model.cc``, ``online-nemo-ctc-model.cc``,
``online-transducer-nemo-model.cc``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from quantkit.audio.frontends import AnyFrontend
from quantkit.audio.nemo_frontend import NemoFrontend, NemoRawFrontend
from quantkit.audio.running_normalization import Expected, expected_of
from quantkit.errors import ModelError
from quantkit.exporting.folders.found_graph import FoundGraph
from quantkit.graph.interface import Declared
from quantkit.graph.roles import BATCH, State
from quantkit.graph.translation import Step
from quantkit.runtime.streaming.settings import StreamingSettings

_FOLLOWING = ("new_{}", "next_{}", "{}_next", "new{}", "{}_out")
# NeMo's cache_last_channel_len becomes cache_last_channel_next_len.
_LENGTH, _NEXT_LENGTH = "_len", "_next_len"
_NO_NORMALIZATION = ("", "NA", "None", "none")
_RATE = 16_000
_CHUNKS = (("T", "decode_chunk_len"), ("window_size", "chunk_shift"))
# Frames of silence behind a clip: a transducer may write its last label a little late.
_TAIL = 30


@dataclass(frozen=True)
class Caches:
    """Those of one graph.

    Args:
        states: by the names of an artifact.
        takes, gives: the same, as an artifact declares them.
        before, behind: steps between the names of both.
    """

    states: tuple[State, ...]
    takes: tuple[Declared, ...]
    gives: tuple[Declared, ...]
    before: tuple[Step, ...]
    behind: tuple[Step, ...]


def says_chunks(metadata: Mapping[str, str]) -> bool:
    """Whether metadata are those of a graph that hears in chunks."""
    return any(chunk in metadata and shift in metadata for chunk, shift in _CHUNKS)


def chunk_settings(
    graph: FoundGraph, stride: int, expected: Expected | None = None
) -> StreamingSettings:
    """How the chunks of ``graph`` follow one another.

    Args:
        stride: frames for a row of its output; 0 where that is unknown.
        expected: where its features are normalised.

    Raises:
        ModelError: its metadata do not say, or say something else than its input.
    """
    for names in _CHUNKS:
        said = [graph.metadata.get(name, "") for name in names]
        if all(said):
            break
    else:
        raise ModelError(
            f"{graph.file} has caches, and its metadata do not say how long a chunk is (T and "
            "decode_chunk_len, or window_size and chunk_shift)"
        )
    if not all(each.isdigit() and int(each) for each in said) or int(said[1]) > int(said[0]):
        raise ModelError(
            f"{graph.file}: its metadata {names[0]} and {names[1]} are {' and '.join(said)}, which "
            "are no chunks that follow one another"
        )
    chunk, shift = map(int, said)
    return StreamingSettings(
        chunk, shift, stride, look_ahead=chunk - shift, tail=_TAIL, expected=expected
    )


def caches_of(graph: FoundGraph, role: str, known: Collection[str]) -> Caches:
    """The inputs of ``graph`` that are no audio, each with the output that follows it.

    Args:
        known: names of the other inputs, that of the audio first.

    Raises:
        ModelError: an input has no such output, or a shape of which no first value can be made.
    """
    audio = graph.input(next(iter(known)))
    batch = (audio.sizes or (None,))[0]
    outputs = {each.name: each for each in graph.outputs}
    states, takes, gives, before, behind = [], [], [], [], []
    for cache in graph.inputs:
        if cache.name in known:
            continue
        names = [form.format(cache.name) for form in _FOLLOWING]
        names.append(f"{cache.name.removesuffix(_LENGTH)}{_NEXT_LENGTH}")
        following = next((outputs[name] for name in names if name in outputs), None)
        if following is None or following.type != cache.type:
            raise ModelError(
                f"{graph.file} takes {cache.name} besides {', '.join(known)}, and gives no "
                f"new_{cache.name} or {cache.name}_next that the next chunk could take for it"
            )
        shape = _first_shape(graph, cache, batch)
        state = State(f"state.{cache.name}", f"next.{cache.name}", shape, cache.type)
        states.append(state)
        takes.append(Declared.of(state.input, cache.type, *shape))
        gives.append(Declared.of(state.output, cache.type, *shape))
        before.append(Step("identity", (state.input,), (f"{role}.{cache.name}",)))
        behind.append(Step("identity", (f"{role}.{following.name}",), (state.output,)))
    return Caches(tuple(states), tuple(takes), tuple(gives), tuple(before), tuple(behind))


def _first_shape(
    graph: FoundGraph, cache: Declared, batch: int | str | None
) -> tuple[int | str, ...]:
    """The shape of a cache before the first chunk, with :data:`BATCH` for the clips."""
    sizes = cache.sizes
    if sizes is None:
        raise ModelError(f"{graph.file} does not say what shape {cache.name} has")
    said = [graph.metadata.get(f"{cache.name}_dim{axis}", "") for axis in range(1, len(sizes))]
    if said and all(each.isdigit() for each in said):
        return (BATCH, *map(int, said))
    free = [size for size in sizes if not isinstance(size, int)]
    # The exporter of NeMo calls the clips of each input otherwise.
    if len(free) > 1 or (free and free[0] != batch and len(sizes) > 1):
        raise ModelError(
            f"{graph.file}: {cache.name} has the shape {sizes}, of which only the number of clips "
            "may be open"
        )
    return tuple(size if isinstance(size, int) else BATCH for size in sizes)


def nemo_features(graph: FoundGraph, bands: int) -> tuple[AnyFrontend, Expected | None]:
    """What makes the features of a model of NeMo that hears in chunks, and what is expected of
    them."""
    if graph.metadata.get("normalize_type", "") in _NO_NORMALIZATION:
        return NemoRawFrontend.for_rate(_RATE, bands), None
    frontend = NemoFrontend.for_rate(_RATE, bands)
    return frontend, expected_of(frontend, frontend.seconds_of(1))
