"""A float graph is made easier to quantize; what it computes stays the same.

Equalization takes the junctions between two layers, smoothing those behind a normalisation, too.
Only numbers in initializers change: names, types and shapes stay, and no two initializers that
were equal become different, so that the file is as large as it was foreseen to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from quantkit.arrays import FloatArray
from quantkit.calibration.calibrate import Feed, Tracker, Watched, calibrate
from quantkit.calibration.data import CalibrationData
from quantkit.calibration.ranges import Moments
from quantkit.graph.digest import graph_digest
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import Layer
from quantkit.graph.operators import affine
from quantkit.quantization.calibration_cache import CalibrationCache
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.equalize.balancing import balances, balancing_factors, reader_weight
from quantkit.quantization.equalize.channel_scaling import (
    Junction,
    Magnitudes,
    find_junctions,
    move,
)
from quantkit.quantization.equalize.equalization import equalize
from quantkit.quantization.equalize.smoothing import smooth
from quantkit.quantization.tied_weights import shared_weights

#: Kernels that round their input to one grid; others read floats, or round them block by block.
ONE_GRID = ("static", "dynamic")


@dataclass(frozen=True)
class ChosenJunctions:
    """Where factors are moved, and for what."""

    equalized: tuple[Junction, ...]
    smoothed: tuple[Junction, ...]
    balanced: tuple[Junction, ...]

    @property
    def all(self) -> tuple[Junction, ...]:
        """Those of every kind."""
        return (*self.equalized, *self.smoothed, *self.balanced)


def chosen_junctions(
    editor: GraphEditor,
    layers: Sequence[Layer],
    choices: Mapping[str, LayerChoice],
    fitting: PtqSettings,
    *,
    with_clips: bool,
) -> ChosenJunctions:
    """Where :func:`condition` moves factors in a float graph.

    Args:
        with_clips: whether there are any, which smoothing and balancing need.
    """
    with_one_weight = {name for group in shared_weights(editor.model, layers) for name in group}
    equalized: list[Junction] = []
    smoothed: list[Junction] = []
    balanced = balances(editor) if with_clips else []
    separate = {str(junction.maker.name) for junction in balanced}
    for junction in find_junctions(editor, with_one_weight):
        if junction.maker.name in separate:
            continue
        readers = [choices[reader.name] for reader in junction.readers]
        quantized = not all(choice.is_plain_float for choice in readers)
        one_grid = any(choice.compute in ONE_GRID for choice in readers)
        if fitting.equalization and quantized and junction.maker.op_type in affine():
            equalized.append(junction)
        elif fitting.smoothing and one_grid and with_clips:
            smoothed.append(junction)
    return ChosenJunctions(tuple(equalized), tuple(smoothed), tuple(balanced))


def condition(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    choices: Mapping[str, LayerChoice],
    feeds: CalibrationData | None,
    fitting: PtqSettings,
    *,
    cache: CalibrationCache | None = None,
) -> tuple[str, ...]:
    """Equalize and smooth ``model`` as ``fitting`` says, in place.

    Args:
        model: float, with its nodes named, and optimised; its initializers change.
        choices: by layer name. What none of its readers quantizes is left alone, and smoothing
            is for readers that round the whole of an activation to one grid.
        feeds: clips. Without any, layers are equalized by their weights alone, and nothing is
            smoothed.
        cache: what other steps have observed; None: nothing.

    Returns:
        what was done, in words.

    Raises:
        CorpusError, ModelError: see :func:`~quantkit.calibration.calibrate.calibrate`.
    """
    wanted = fitting.equalization or fitting.smoothing > 0 or fitting.balance
    if not wanted or all(choice.is_plain_float for choice in choices.values()):
        return ()
    editor = GraphEditor(model)
    chosen = chosen_junctions(editor, layers, choices, fitting, with_clips=feeds is not None)
    equalized, smoothed, balanced = chosen.equalized, chosen.smoothed, chosen.balanced
    activations: Mapping[str, Magnitudes] = {}
    if feeds is not None and (equalized or smoothed or balanced):
        junctions = chosen.all
        activations = (cache or CalibrationCache()).magnitudes(
            graph_digest(model),
            feeds.digest(),
            tuple(str(junction.maker.name) for junction in junctions),
            lambda: observe_magnitudes(model, junctions, feeds),
        )
    notes: list[str] = []
    if equalized:
        equalize(editor, equalized, "weights" if feeds is None else "balanced", activations)
        notes.append(f"equalized {_counted(len(equalized), 'pair')} of layers")
    if smoothed:
        smooth(editor, smoothed, activations, fitting.smoothing)
        notes.append(f"smoothed {_counted(len(smoothed), 'input')}, α {fitting.smoothing:g}")
    if balanced:
        for junction in balanced:
            met = activations[str(junction.maker.name)]
            move(editor, junction, balancing_factors(met, reader_weight(editor, junction)).values)
        notes.append(f"balanced {_counted(len(balanced), 'input')}")
    return tuple(notes)


def observe_magnitudes(
    model: onnx.ModelProto,
    junctions: Sequence[Junction],
    feeds: Iterable[Feed],
) -> dict[str, Magnitudes]:
    """What the readers of each junction meet, by the maker's name.

    Raises:
        CorpusError, ModelError: see :func:`~quantkit.calibration.calibrate.calibrate`.
    """
    maxima: dict[str, _Maxima] = {}
    moments: dict[str, Moments] = {}
    watched: dict[str, Watched] = {}
    for junction in junctions:
        for value, axis in junction.values().items():
            maxima[value], moments[value] = _Maxima(axis), Moments(axis)
            trackers: tuple[Tracker, ...] = (maxima[value], moments[value])
            watched[value] = Watched(str(junction.readers[0].name), trackers)
    calibrate(model, watched, feeds)
    found: dict[str, Magnitudes] = {}
    for junction in junctions:
        largest = np.zeros(junction.channels, np.float32)
        squares = np.zeros(junction.channels, np.float32)
        for value in junction.values():
            seen, square = maxima[value].values, moments[value].mean_square()
            if seen is not None and square is not None:
                largest, squares = np.maximum(largest, seen), np.maximum(squares, square)
        found[str(junction.maker.name)] = Magnitudes(largest, np.sqrt(squares))
    return found


class _Maxima:
    """The largest magnitude in each channel; ``axis`` is that of the channels."""

    def __init__(self, axis: int) -> None:
        self.axis = axis
        self.values: FloatArray | None = None

    def update(self, values: npt.NDArray[np.float32]) -> None:
        others = tuple(i for i in range(values.ndim) if i != self.axis % values.ndim)
        largest = np.abs(values).max(axis=others, initial=0)
        self.values = largest if self.values is None else np.maximum(self.values, largest)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
