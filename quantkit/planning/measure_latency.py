"""Measure the latency of each layer with each compute on this host.

The model is quantized three times, each with one compute for all layers, and again with fewer bits
of all inputs where these let a layer be computed faster. Interleaved runs give the total times.
ONNX Runtime's profiler gives the share of each kernel. Nodes made for a layer have its name as a
prefix, which assigns their kernels to it.

One thread is measured by processor time, which other programs on the host hardly change. The
profiler measures wall time only, so its times are scaled to the processor time.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from quantkit.calibration.data import Calibration, CalibrationData
from quantkit.codecs.catalogue import INT8
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import CorpusError, InputError
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import locate_layers
from quantkit.graph.operators import layer_weights
from quantkit.graph.plan import Compute, Structure, structure_json
from quantkit.graph.single_file import single_file
from quantkit.planning.channel_times import ChannelTimes
from quantkit.planning.latency import LayerTimes, RankTimes, kernel_name
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.kernels.eligibility import reason_to_stay_float
from quantkit.quantization.kernels.fast_fir import faster_bits
from quantkit.quantization.pipeline import quantize_model
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.interleaved import Effort, interleaved_seconds
from quantkit.runtime.node_times import node_milliseconds
from quantkit.runtime.optimised import name_before_fusion
from quantkit.runtime.processor import processor
from quantkit.runtime.session import create_session
from quantkit.sensitivity.cache import AnalysisCache
from quantkit.structure.channel_paths import channel_paths
from quantkit.structure.layers import splittable_layers

Inputs = Mapping[str, npt.NDArray[Any]]

#: The measured computes; float32 first, which every layer can have.
TIMED: tuple[Compute, ...] = ("float32", "static", "dynamic")

_PART = "layer times"
# Of the largest rank that saves something: between them, times are nearly linear.
# Behind each median of finished files.
_RUNS_OF_FILES = 25
# Of its channels that each layer makes while fewer are timed.
_SHARE_OF_CHANNELS = 0.5
_SHARES = (0.3, 0.8)
# Shortest time slice of a scheduler.
_TIME_SLICE_MS = 1.0
# The profiler's resolution.
_LEAST_MS = 1e-3


def measure_layer_times(
    source: Path | PreparedModel,
    calibration: Calibration | CalibrationData,
    *,
    threads: int = 1,
    runs: int = 15,
    cache_folder: Path | None = None,
) -> LayerTimes:
    """Time per run of each layer of the float model ``source``, for each compute it can have.

    Args:
        calibration: clips; that of median length is run.
        threads: inside one operator; 0 for all cores.
        runs: behind each median.
        cache_folder: cache of times by model, host and ONNX Runtime; see
            :mod:`quantkit.sensitivity.cache`. Disturbed measurements are not cached.

    Raises:
        ModelError: ``source`` is damaged, quantized, or has nothing to quantize.
        CorpusError: there is no usable clip.
        InputError: ``threads`` or ``runs`` is out of range.
    """
    if runs < 1:
        raise InputError(f"at least one run is needed, not {runs}")
    prepared = PreparedModel.of(source)
    feeds = prepared.feeds(calibration)
    clip = typical_clip(feeds)
    digest, clip_seconds = prepared.sha256, CalibrationData([("clip", clip)], feeds.info).seconds
    host, version = processor()[0], str(onnxruntime.__version__)
    settings: dict[str, Any] = {"host": host, "onnxruntime": version}
    settings |= {"threads": threads, "runs": runs}
    if prepared.structure:
        settings |= {"structure": structure_json(prepared.structure)}
    fewer_bits = _layers_of_fewer_bits(prepared)
    if fewer_bits:
        settings |= {"fewer_bits": {f"{bits}": names for bits, names in fewer_bits.items()}}
    shapes = {name: list(values.shape) for name, values in clip.items()}
    cache = AnalysisCache(cache_folder, model_sha256=digest, settings=settings | shapes)
    if (known := cache.get(_PART)) is not None:
        return LayerTimes.from_json(known)
    layers, whole, processor_share, reference = _measured(prepared, clip, fewer_bits, threads, runs)
    times = LayerTimes(
        model_sha256=digest,
        host=host,
        onnxruntime=version,
        threads=threads,
        clip_seconds=clip_seconds,
        runs=runs,
        layers=layers,
        whole=whole,
        processor_share=processor_share,
        reference_ms=reference,
    )
    if not times.disturbed:
        cache.put(_PART, times.to_json())
    return times


def measure_rank_times(
    source: Path | PreparedModel,
    calibration: Calibration | CalibrationData,
    names: Collection[str],
    *,
    whole: LayerTimes | None = None,
    threads: int = 1,
    runs: int = 15,
    cache_folder: Path | None = None,
) -> RankTimes:
    """The same with layers ``names`` split, for any ranks: two are measured.

    Args:
        whole: of the model with no layer split, if known.

    Raises:
        ModelError, CorpusError, InputError: see :func:`measure_layer_times`.
    """
    prepared = PreparedModel.of(source)
    options = {"threads": threads, "runs": runs}
    if whole is None:
        whole = measure_layer_times(prepared, calibration, cache_folder=cache_folder, **options)
    splittable = splittable_layers(prepared.graph())
    layers = {name: layer for name, layer in splittable.items() if name in names}
    feeds, split = prepared.feeds(calibration), []
    for share in _SHARES if layers else ():
        ranks = {name: Structure(layer.nearest(share)) for name, layer in layers.items()}
        model = prepared.structured(ranks, feeds)
        split.append((ranks, measure_split_times(model, feeds, whole, cache_folder, threads, runs)))
    return RankTimes(whole, tuple(split), layers)


def measure_channel_times(
    source: Path | PreparedModel,
    calibration: Calibration | CalibrationData,
    names: Collection[str],
    whole: LayerTimes,
    cache_folder: Path | None = None,
) -> ChannelTimes:
    """The same with layers ``names`` making fewer channels, for any number: one is measured.

    Args:
        whole: of the model with all channels.

    Raises:
        ModelError, CorpusError, InputError: see :func:`measure_layer_times`.
    """
    prepared = PreparedModel.of(source)
    feeds = prepared.feeds(calibration)
    paths = {n: path for n, path in channel_paths(prepared.graph()).items() if n in names}
    counts = {name: path.count(_SHARE_OF_CHANNELS) for name, path in paths.items()}
    model = prepared.structured(
        {n: Structure(channels=count) for n, count in counts.items()}, feeds
    )
    cut = measure_split_times(model, feeds, whole, cache_folder) if counts else whole
    return ChannelTimes(whole, cut, counts, paths)


def measure_split_times(
    model: PreparedModel,
    calibration: Calibration | CalibrationData,
    whole: LayerTimes,
    cache_folder: Path | None = None,
    threads: int = 1,
    runs: int = 15,
) -> LayerTimes:
    """The times of a model with structure, as if measured together with ``whole``.

    They are measured one after the other, while a host need not be equally fast: they are scaled by
    what the float32 file took beside each.

    Args:
        whole: of the model with no layer split.

    Raises:
        ModelError, CorpusError, InputError: see :func:`measure_layer_times`.
    """
    times = measure_layer_times(
        model, calibration, threads=threads, runs=runs, cache_folder=cache_folder
    )
    known = whole.reference_ms and times.reference_ms
    return times.scaled(whole.reference_ms / times.reference_ms) if known else times


def milliseconds_of_files(paths: Sequence[Path], feeds: CalibrationData) -> list[float]:
    """Of a run of each file on the clip of median length: medians, in turns, on one thread.

    Raises:
        ModelError: ONNX Runtime cannot run one of them.
        CorpusError: there is no clip.
    """
    return _whole(paths, typical_clip(feeds), 1, _RUNS_OF_FILES)[0]


def _layers_of_fewer_bits(prepared: PreparedModel) -> dict[int, list[str]]:
    """Layers that fewer bits of their input let be computed in another way, by these bits."""
    editor = GraphEditor(prepared.graph())
    found: dict[int, list[str]] = {}
    for name, placed in layer_weights(editor).items():
        if not reason_to_stay_float(placed, "static"):
            for bits in faster_bits(placed.editor, placed.node):
                found.setdefault(bits, []).append(name)
    return found


def _measured(
    source: PreparedModel,
    clip: Inputs,
    fewer_bits: Mapping[int, Collection[str]],
    threads: int,
    runs: int,
) -> tuple[dict[str, dict[str, float]], dict[Compute, float], float, float]:
    """Times of layers and of whole models, the processor share of the measurement, and the time of
    the float32 file."""
    kernels: list[tuple[Compute, int]] = [(compute, 8) for compute in TIMED]
    kernels += [("static", bits) for bits in fewer_bits]
    with TemporaryFolder("latency") as folder:
        models = {each: folder / f"{each[0]}-{each[1]}.onnx" for each in kernels}
        possible = {each: _write(source, path, *each, clip) for each, path in models.items()}
        medians, processor_share = _whole([source.source, *models.values()], clip, threads, runs)
        reference, whole = medians[0], dict(zip(kernels, medians[1:], strict=True))
        names = _names(source, possible["float32", 8])
        own = {}
        for each, path in models.items():
            taken = node_milliseconds(path, clip, threads=threads, runs=runs)
            own[each] = attribute(within(taken, whole[each]), names)
    layers: dict[str, dict[str, float]] = {
        name: {
            compute: own[compute, 8].get(name, 0.0)
            for compute in TIMED
            if name in possible[compute, 8]
        }
        for name in possible["float32", 8]
    }
    for bits, faster in fewer_bits.items():
        others = [whole["static", b] - sum(own["static", b].values()) for b in (8, bits)]
        # What has changed around these layers, such as transpositions, is theirs.
        around = (others[1] - others[0]) / len(faster)
        for name in faster:
            milliseconds = own["static", bits].get(name, 0.0) + around
            layers[name][kernel_name("static", bits)] = max(0.0, milliseconds)
    return layers, {compute: whole[compute, 8] for compute in TIMED}, processor_share, reference


def typical_clip(feeds: Iterable[tuple[str, Inputs]]) -> Inputs:
    """The inputs of the clip of median length; the shorter of two.

    Raises:
        CorpusError: there is none.
    """
    lengths = [_size(inputs) for _, inputs in feeds]
    if not lengths:
        raise CorpusError("timing needs at least one clip, and there is none")
    middle = int(np.argsort(lengths, kind="stable")[(len(lengths) - 1) // 2])
    return next(inputs for i, (_, inputs) in enumerate(feeds) if i == middle)


def within(taken: Mapping[str, float], whole: float) -> dict[str, float]:
    """Times of nodes, reduced to their measured total.

    The excess is due to the profiler or other programs. Other programs interrupt nearly every run
    of a kernel longer than a time slice, but not the fastest runs of shorter ones. So the excess is
    subtracted from the long kernels, in proportion, or from all if there are none.

    Args:
        taken: milliseconds by node.
        whole: of all of them.
    """
    beyond = max(0.0, sum(taken.values()) - whole)
    long = {node: each for node, each in taken.items() if each > _TIME_SLICE_MS}
    bearing = long if sum(long.values()) > beyond else taken
    factor = 1.0 - beyond / max(sum(bearing.values()), _LEAST_MS)
    return {node: each * (factor if node in bearing else 1.0) for node, each in taken.items()}


def attribute(taken: Mapping[str, float], layers: Mapping[str, str]) -> dict[str, float]:
    """Kernel times by layer, from the times of all nodes of an optimised graph.

    A node belongs to a layer if it has its name, apart from suffixes of fusions, or begins with it
    followed by ``/``. If several match, the longest name is used.

    Args:
        taken: by node.
        layers: layers by the names of their nodes.
    """
    own: dict[str, float] = {}
    for node, amount in taken.items():
        if (name := _owner(name_before_fusion(node), layers)) is not None:
            own[layers[name]] = own.get(layers[name], 0.0) + amount
    return own


def _owner(node: str, layers: Mapping[str, str]) -> str | None:
    parts = node.split("/")
    prefixes = ("/".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in layers), None)


def _write(
    source: PreparedModel, destination: Path, compute: Compute, bits: int, clip: Inputs
) -> tuple[str, ...]:
    """Quantize with one compute; returns the names of the layers that have it, in order."""
    # Float layers get a codec too: else nothing is quantized, and the passes are not run.
    settings = QuantizeSettings(compute, compute=compute, codec=INT8, activation_bits=bits)
    # The numbers do not matter.
    fitting = PtqSettings(rounding="nearest", bias_correction=False)
    result = quantize_model(source, destination, settings, [("clip", dict(clip))], fitting=fitting)
    return tuple(row.name for row in result.layers if row.compute == compute)


def _whole(
    paths: Sequence[Path], clip: Inputs, threads: int, runs: int
) -> tuple[list[float], float]:
    """Median milliseconds per run of each model, interleaved, and this thread's processor share."""
    sessions = []
    for path in paths:
        with single_file(path) as whole:
            sessions.append(create_session(whole, threads=threads))
    # A session with one thread computes in the caller's thread.
    clock = time.thread_time if threads == 1 else time.perf_counter
    wall, own = time.perf_counter(), clock()
    seconds = interleaved_seconds(
        [partial(session.run, None, dict(clip)) for session in sessions],
        threads=threads,
        effort=Effort(rounds=runs, min_rounds=runs),
        clock=clock,
    )
    share = (clock() - own) / (time.perf_counter() - wall)
    medians = 1000.0 * np.median(seconds, axis=0)
    return [float(each) for each in medians], min(1.0, share)


def _names(source: PreparedModel, layers: Collection[str]) -> dict[str, str]:
    """Layers by their names and by the names of their results, which some fused nodes have."""
    results: dict[str, str] = {}
    graph = source.graph() if source.structure else source.original
    for each in locate_layers(graph):
        if each.layer.name in layers:
            # The first of several weights bears what their node takes.
            for name in (each.node.output[0], each.node.name):
                results.setdefault(str(name), each.layer.name)
    return results | {name: name for name in layers}


def _size(inputs: Inputs) -> int:
    return sum(values.size for values in inputs.values())
