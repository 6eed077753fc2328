"""All metrics of all layers from one run of the clips."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from quantkit.calibration.calibrate import require_finite
from quantkit.calibration.clip_runner import ClipRunner, Feed
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import CorpusError
from quantkit.graph.layers import Layer
from quantkit.progress import Progress
from quantkit.sensitivity.cache import AnalysisCache
from quantkit.sensitivity.metrics import LayerClip, Metric, metric
from quantkit.sensitivity.paired_layers import (
    ObservedLayer,
    observed_layers,
    sibling_weights,
    siblings,
)

#: Bytes of watched activations of one clip, and of siblings' weights, that are held at a time.
#: Layers that need more together are seen in several rounds through the clips; one that needs more
#: alone gets a round of its own.
ROUND_BYTES = 256_000_000

# Values that metrics see at a time: their temporary arrays of float64 stay in the CPU's caches.
_STRETCH = 1 << 18


def measure_metrics(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    feeds: Iterable[Feed],
    names: Sequence[str],
    codec: CodecChoice,
    cache: AnalysisCache,
    *,
    round_bytes: int = ROUND_BYTES,
    progress: Progress | None = None,
) -> dict[str, dict[str, float]]:
    """The metrics called ``names`` of each layer, by the layer's name.

    A layer lacks those that make no sense for it: a look-up has no inputs that a weight is
    multiplied by, and one whose weight is no float32 constant has none at all.

    Memory beside the model: the activations of one clip as ``round_bytes`` bounds them, what ONNX
    Runtime itself needs for one clip, and small trackers.

    Args:
        model: float, as quantizing will find it; is not changed.
        feeds: can be gone through several times.
        codec: quantizes the weights for the metrics that compare.
        cache: holds and receives the metrics of each layer, which must depend on ``model``,
            ``feeds`` and ``codec``.
        progress: see :data:`~quantkit.progress.Progress`.

    Raises:
        InputError: an unknown metric.
        CorpusError: ``feeds`` is empty.
        ModelError: the model fails on a clip, or a layer's activations are not finite there.
    """
    kinds = [metric(name) for name in names]
    known: dict[str, dict[str, float]] = {
        layer.name: dict(cache.get(layer.name) or {}) for layer in layers
    }
    followed = [
        _Followed(layer, trackers)
        for layer in observed_layers(model, layers)
        if (trackers := _trackers(layer, kinds, known[layer.name]))
    ]
    if followed:
        largest, clips = _largest(feeds)
        with closing(ClipRunner(model)) as runner:
            rounds = _rounds(followed, _sizes(runner, followed, largest), round_bytes)
            for number, each in enumerate(rounds):
                for done, _ in enumerate(_run(runner, model, each, feeds, codec), 1):
                    if progress is not None:
                        progress("metrics", (number + done / clips) / len(rounds))
                for one in each:
                    known[one.layer.name] |= one.results()
                    cache.put(one.layer.name, known[one.layer.name])
    return {
        layer: {name: found[name] for name in names if name in found}
        for layer, found in known.items()
    }


@dataclass(frozen=True)
class _Followed:
    """A layer with the metrics that are still to be measured."""

    layer: ObservedLayer
    trackers: Mapping[str, Metric]

    @property
    def reads(self) -> frozenset[str]:
        return frozenset().union(*(tracker.reads for tracker in self.trackers.values()))

    def values(self) -> list[str]:
        """Names of the values that are watched."""
        names = {"outputs", "inputs", "quantized"} & self.reads
        return [str(getattr(self.layer, name)) for name in sorted(names)]

    def update(self, clip: str, values: Mapping[str, npt.NDArray[Any]]) -> None:
        for name in self.values():
            require_finite(values[name], self.layer.name, clip)
        nothing = np.zeros((0, 0), np.float32)
        layer, reads = self.layer, self.reads
        outputs, quantized = (
            layer.output_frames(values[name]) if name in values else nothing
            for name in (layer.outputs, layer.quantized)
        )
        inputs = layer.input_frames(values[layer.inputs]) if "inputs" in reads else nothing
        count = max(1, math.ceil(max(outputs.size, inputs.size) / _STRETCH))
        for parts in zip(
            *(np.array_split(each, count) for each in (outputs, quantized, inputs)), strict=True
        ):
            stretch = LayerClip(*parts)
            for tracker in self.trackers.values():
                tracker.update(stretch)

    def results(self) -> dict[str, float]:
        return {name: tracker.result() for name, tracker in self.trackers.items()}


def _trackers(
    layer: ObservedLayer, kinds: Iterable[type[Metric]], known: Mapping[str, float]
) -> dict[str, Metric]:
    return {
        kind.name: kind()
        for kind in kinds
        if kind.name not in known and (layer.inputs or "inputs" not in kind.reads)
    }


def _run(
    runner: ClipRunner,
    model: onnx.ModelProto,
    followed: Sequence[_Followed],
    feeds: Iterable[Feed],
    codec: CodecChoice,
) -> Iterator[None]:
    compared = [each.layer for each in followed if "quantized" in each.reads]
    for clip, values in runner.run(
        [name for each in followed for name in each.values()],
        feeds,
        nodes=siblings(model, compared),
        tensors=sibling_weights(model, compared, codec),
    ):
        for each in followed:
            each.update(clip, values)
        values.clear()
        yield


def _largest(feeds: Iterable[Feed]) -> tuple[Feed, int]:
    """The clip with the most values, and how many clips there are."""
    largest, most, clips = None, -1, 0
    for feed in feeds:
        clips += 1
        if (size := sum(each.size for each in feed[1].values())) > most:
            largest, most = feed, size
    if largest is None:
        raise CorpusError("the analysis needs at least one clip, and there is none")
    return largest, clips


def _sizes(runner: ClipRunner, followed: Sequence[_Followed], clip: Feed) -> dict[str, int]:
    """Elements of the layers' inputs and outputs for ``clip``, by the value's name."""
    names = {name for each in followed for name in (each.layer.inputs, each.layer.outputs) if name}
    counted = {f"{name}.elements": name for name in sorted(names)}
    nodes = [helper.make_node("Size", [name], [size], size) for size, name in counted.items()]
    ((_, sizes),) = runner.run(list(counted), [clip], nodes=nodes)
    return {counted[name]: int(size) for name, size in sizes.items()}


def _rounds(
    followed: Sequence[_Followed], sizes: Mapping[str, int], limit: int
) -> list[list[_Followed]]:
    """The layers in graph order, as many together as ``limit`` bytes hold."""
    rounds: list[list[_Followed]] = []
    held = limit
    for each in followed:
        layer = each.layer
        elements = {layer.outputs: sizes[layer.outputs], layer.quantized: sizes[layer.outputs]}
        elements |= {layer.inputs: sizes[layer.inputs]} if layer.inputs else {}
        needed = 4 * sum(elements[name] for name in each.values())
        needed += layer.weight_bytes if "quantized" in each.reads else 0
        if held + needed > limit:
            rounds.append([])
            held = 0
        rounds[-1].append(each)
        held += needed
    return rounds
