"""Run the calibration clips once, for all that will be asked about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import onnx

from quantkit.graph.layers import Layer
from quantkit.quantize.calibrate import Feed, Tracker, Watched, calibrate
from quantkit.quantize.fitting import Fitting
from quantkit.quantize.input_moments import input_moments
from quantkit.quantize.input_samples import input_samples
from quantkit.quantize.observations import Observations
from quantkit.quantize.ranges import SEARCHES, UNREAD, Moments, RangeTracker, tracker
from quantkit.quantize.rewrite import static_layout
from quantkit.quantize.settings import LayerChoice
from quantkit.quantize.sharing import share_moments, shared_weights


def observe(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    choices: Mapping[str, LayerChoice],
    feeds: Iterable[Feed],
    fitting: Fitting,
    *,
    progress: Callable[[str], None] | None = None,
) -> Observations:
    """What ``choices`` and ``fitting`` need to know about the values in ``model``.

    Where they need nothing, no clip is heard.

    Args:
        model: float, with its nodes named.
        progress: is called with the name of each clip that is done.

    Raises:
        CorpusError, ModelError: see :func:`~quantkit.quantize.calibrate.calibrate`.
    """
    ranges: dict[str, RangeTracker] = {}
    names: dict[str, str] = {}
    watched: dict[str, list[Tracker]] = {}

    def follow(value: str, layer: str, tracker: Tracker) -> None:
        names.setdefault(value, layer)
        watched.setdefault(value, []).append(tracker)

    constants = {tensor.name for tensor in model.graph.initializer}
    layout = static_layout(model, choices)
    read = set(layout.inputs.values())
    for value, name in layout.tensors().items():
        label = choices[name].range
        if label in SEARCHES and value not in read:
            # No layer's output says what its range should be.
            label = UNREAD
        ranges[value] = tracker(label, layout.coarsest_bits(value))
        follow(value, name, ranges[value])
    inputs = {node.name: str(node.input[0]) for node in model.graph.node}
    moments = {
        name: Moments(1 if op == "Conv" else -1)
        for name, op in _with_few_bits(layers, choices).items()
        if inputs[name] not in constants
    }
    for name, each in moments.items():
        follow(inputs[name], name, each)
    matrices = input_moments(model, moments) if fitting.rounding == "compensated" else {}
    samples = input_samples(model, _searched(choices, fitting))
    # Layers that read the same input share a tracker, which shall see each clip once.
    for matrix, name in {each: name for name, each in matrices.items()}.items():
        follow(matrix.geometry.value, name, matrix)
    for sample, name in {each: name for name, each in samples.items()}.items():
        follow(sample.geometry.value, name, sample)
    followed = {
        value: Watched(names[value], tuple(trackers)) for value, trackers in watched.items()
    }
    if followed:
        calibrate(model, followed, feeds, progress=progress)
    squares = {name: each.mean_square() for name, each in moments.items()}
    means = {name: each.mean() for name, each in moments.items()}
    known = {name: values for name, values in squares.items() if values is not None}
    shared = shared_weights(model, layers)
    return Observations(
        ranges={value: each.result() for value, each in ranges.items()},
        second_moments=share_moments(known, shared),
        means={name: values for name, values in means.items() if values is not None},
        matrices=share_moments(matrices, shared),
        samples=samples,
    )


def _with_few_bits(layers: Sequence[Layer], choices: Mapping[str, LayerChoice]) -> dict[str, str]:
    """Operators of the layers whose levels are fitted to what they meet, by name."""
    return {
        layer.name: layer.op
        for layer in layers
        if layer.op in ("Conv", "MatMul", "Gemm")
        and not choices[layer.name].codec.is_float
        and choices[layer.name].codec.bits < 8
    }


def _searched(choices: Mapping[str, LayerChoice], fitting: Fitting) -> list[str]:
    """Layers whose ranges are searched for what comes out of them."""
    weights = fitting.weight_range in SEARCHES
    return [
        name
        for name, choice in choices.items()
        if choice.range in SEARCHES or (weights and not choice.codec.is_float)
    ]
