"""Find out what somebody's ``.onnx`` takes and gives: by looking, and then by running it.

What the graph declares narrows down how its values can be read. The model is then run on noise of
two lengths in each of these ways, until one of its outputs is as wide as there are labels, and as
long as the clip makes it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx

from quantkit.arrays import Array
from quantkit.errors import InputError, ModelError
from quantkit.exporting.foreign import Axes, ForeignInputs, Value, in_words
from quantkit.exporting.foreign_model import ForeignModel, framing_of
from quantkit.exporting.meanings import most_plausible, readings_of, require_lengths
from quantkit.graph.interface import STEPS, Interface, Port, Role
from quantkit.runtime.adapted_session import posteriors_of
from quantkit.runtime.output_scale import scale_of

# Pairs of lengths to try, in seconds: some models take no short clips.
_TRIALS = ((1.0, 1.6), (4.0, 6.0))
_HINT = " (if these are features, say which with --frontend)"
# Of an output; those that are neither of clips, frames nor labels have one element.
_MOST_AXES = 4
_NAMES = ("logits", "log_probs", "logprobs", "probs")

#: Raises InputError where the labels are not those of so many outputs.
LabelCheck = Callable[[int], object]


class _OneLength(ModelError):
    """The model runs on clips of some lengths only."""


@dataclass(frozen=True)
class _Reading:
    """An output, its axes, and how far that is what was looked for."""

    name: str
    axes: Axes
    varies: bool


def recognise(
    model: onnx.ModelProto,
    inputs: ForeignInputs,
    run: ForeignModel,
    origin: Path,
    *,
    per_frame: bool,
    labels: LabelCheck,
    output: str = "",
    normalize: bool = False,
) -> Interface:
    """What ``model`` takes and gives.

    Args:
        inputs: see :func:`~quantkit.exporting.foreign.inputs_of`.
        per_frame: whether its output has an axis of frames.
        labels: says whether an output is as wide as there are labels.
        output: name of the one that holds the posteriors; empty: it is found out.
        normalize: see :class:`~quantkit.graph.interface.Interface`.

    Raises:
        ModelError: the outputs are not those of such a model, or it is not clear which.
        InputError: the labels are another model's, or ``output`` is none of the model.
    """
    outputs = [Value.of(value) for value in model.graph.output]
    if output and output not in {value.name for value in outputs}:
        raise InputError(f"{origin} has no output {output!r}; it has {in_words(outputs)}")
    fits = lru_cache(lambda size: _holds(labels, size))
    failure: ModelError | None = None
    seen: list[dict[str, Array]] = []
    for axes, seconds in itertools.product(inputs.layouts, _TRIALS):
        complete: list[tuple[Interface, _Reading, list[dict[str, Array]]]] = []
        first = _with_inputs(inputs, axes, normalize, run.frontend.sample_rate)
        for interface in readings_of(first):
            try:
                made = _trials(run, interface, seconds)
            except ModelError as error:
                if failure is None or isinstance(error, _OneLength):
                    failure = error
                continue
            seen = seen or made
            if readings := _readings(made, interface, per_frame, fits, output):
                complete.append((interface, _chosen(readings, origin), made))
        if complete:
            return _most_plausible(run, complete, inputs, outputs, origin)
    if not seen:
        if isinstance(failure, _OneLength):
            raise ModelError(f"{origin}: {failure}")
        hint = "" if inputs.layouts[0][-1] in ("bands", "frames") else _HINT
        raise ModelError(
            f"{origin} has inputs {in_words([inputs.audio])}, and fails{hint}: {failure}"
        )
    _say_what_is_wrong(seen, per_frame, labels, output)
    what = "(batch, frames, labels)" if per_frame else "(batch, classes)"
    raise ModelError(f"{origin} has outputs {in_words(outputs)}; it needs one of float32 {what}")


def _most_plausible(
    run: ForeignModel,
    complete: Sequence[tuple[Interface, _Reading, list[dict[str, Array]]]],
    inputs: ForeignInputs,
    outputs: Sequence[Value],
    origin: Path,
) -> Interface:
    """The interface whose lengths and mask are read as the model means them."""
    ported = [
        replace(interface, output=_port(chosen, made)) for interface, chosen, made in complete
    ]
    interface = most_plausible(run, ported)
    _, chosen, made = complete[ported.index(interface)]
    try:
        require_lengths(run, interface, inputs)
    except ModelError as error:
        raise ModelError(f"{origin}: {error}") from error
    return _with_outputs(run, interface, chosen, made, outputs)


def _port(chosen: _Reading, made: Sequence[Mapping[str, Array]]) -> Port:
    return Port(chosen.name, str(made[0][chosen.name].dtype), chosen.axes)


def _holds(labels: LabelCheck, size: int) -> bool:
    try:
        labels(size)
    except InputError:
        return False
    return True


def _with_inputs(inputs: ForeignInputs, axes: Axes, normalize: bool, sample_rate: int) -> Interface:
    """An interface whose output is still unknown."""
    sizes = dict(zip(axes, inputs.audio.axes or (), strict=False))
    lengths, mask = inputs.lengths, inputs.mask
    kind: Role = "bands" if "bands" in axes else "samples"
    counted: Axes = ("batch",)
    if lengths is not None and lengths.rank in (0, 2):
        counted = ("batch", "channel") if lengths.rank else ()
    steps: Role = "frames" if kind == "bands" else "samples"
    return Interface(
        audio=Port(inputs.audio.name, inputs.audio.numpy, axes),
        output=Port("", "float32", ("batch", "labels")),
        scale="logits",
        lengths=Port(lengths.name, lengths.numpy, counted) if lengths else None,
        relative=lengths is not None and lengths.is_float,
        mask=Port(mask.name, mask.numpy, ("batch", steps)) if mask else None,
        rate=_rate_port(inputs.rate) if inputs.rate else None,
        sample_rate=sample_rate if inputs.rate else 0,
        steps=next((sizes[role] for role in STEPS if role in sizes), 0),
        batch=sizes.get("batch", 0),
        normalize=normalize,
    )


def _rate_port(value: Value) -> Port:
    axes: Axes = ("batch",) if value.rank else ()
    return Port(value.name, value.numpy, ("channel",) if value.axes == (1,) else axes)


def _trials(
    run: ForeignModel, interface: Interface, seconds: Sequence[float]
) -> list[dict[str, Array]]:
    lengths = list(dict.fromkeys(run.steps(interface, each) for each in seconds))
    made: list[dict[str, Array]] = []
    for length in lengths:
        try:
            made.append(run.all_outputs(interface, run.noise(interface, length)))
        except ModelError as error:
            if not made:
                raise
            raise _OneLength(
                f"it runs on a clip of {lengths[0]} and not on one of {length}, so the length of "
                f"its example may be fixed in the graph: export it for any length: {error}"
            ) from error
    return made


def _readings(
    made: Sequence[Mapping[str, Array]],
    interface: Interface,
    per_frame: bool,
    fits: Callable[[int], bool],
    output: str,
) -> list[_Reading]:
    """How each output can be read, where it can; the most usual way of each."""
    found = []
    for name, values in made[0].items():
        if values.dtype.kind != "f" or (output and name != output):
            continue
        shapes = [each[name].shape for each in made]
        ways = [
            _Reading(name, axes, _varies(shapes, axes) or bool(interface.steps))
            for axes in _axes(values.ndim, per_frame)
            if _may_be(shapes, axes, max(1, interface.batch), fits)
        ]
        if ways:
            found.append(next((way for way in ways if way.varies), ways[0]))
    if not per_frame:
        return found
    return [each for each in found if each.varies or _frames(made[0], each) > 1]


def _axes(rank: int, per_frame: bool) -> list[Axes]:
    """All orders of the axes of an output, the usual one first."""
    roles: tuple[Role, ...] = ("batch", "frames", "labels") if per_frame else ("batch", "labels")
    chosen: tuple[Role, ...] = roles[1:] if rank == len(roles) - 1 else roles
    if len(roles) < rank <= _MOST_AXES:
        single: tuple[Role, ...] = ("channel",)
        chosen = ("batch", *single * (rank - len(roles)), *roles[1:])
    return [*dict.fromkeys(itertools.permutations(chosen))] if rank == len(chosen) else []


def _may_be(
    shapes: Sequence[tuple[int, ...]], axes: Axes, batch: int, fits: Callable[[int], bool]
) -> bool:
    for role, *sizes in zip(axes, *shapes, strict=True):
        if role == "frames":
            continue
        size = sizes[0]
        if any(other != size for other in sizes):
            return False
        if role == "labels" and not fits(size):
            return False
        if role != "labels" and size != (batch if role == "batch" else 1):
            return False
    return True


def _varies(shapes: Sequence[tuple[int, ...]], axes: Axes) -> bool:
    if "frames" not in axes:
        return True
    return len({shape[axes.index("frames")] for shape in shapes}) > 1


def _frames(made: Mapping[str, Array], reading: _Reading) -> int:
    return int(made[reading.name].shape[reading.axes.index("frames")])


def _chosen(readings: Sequence[_Reading], origin: Path) -> _Reading:
    best = [each for each in readings if each.varies] or list(readings)
    if len(best) > 1:
        best = [each for each in best if each.name.lower() in _NAMES][:1] or best
    if len(best) > 1:
        names = ", ".join(each.name for each in best)
        raise ModelError(
            f"{origin} has several outputs that may hold the labels ({names}); say which with "
            "--output-name NAME"
        )
    return best[0]


def _with_outputs(
    run: ForeignModel,
    interface: Interface,
    chosen: _Reading,
    made: Sequence[Mapping[str, Array]],
    outputs: Sequence[Value],
) -> Interface:
    values = made[0][chosen.name]
    interface = replace(interface, output=_port(chosen, made))
    interface = replace(interface, scale=scale_of(posteriors_of(interface, values)))
    if not interface.per_frame:
        return interface
    if frames := _lengths_output(interface, chosen, made, outputs):
        return replace(interface, frames=frames)
    framing = None if interface.steps else framing_of(run, interface)
    if framing is None:
        return interface
    return replace(interface, stride=framing.stride, offset=framing.offset)


def _lengths_output(
    interface: Interface,
    chosen: _Reading,
    made: Sequence[Mapping[str, Array]],
    outputs: Sequence[Value],
) -> Port | None:
    """An output that holds the number of frames of each clip."""
    found = []
    frames = [_frames(each, chosen) for each in made]
    for value in outputs:
        counts = [each.get(value.name) for each in made]
        if any(c is None or c.dtype.kind not in "iu" or c.ndim > 1 or not c.size for c in counts):
            continue
        # None of the counts is missing.
        first = [int(np.atleast_1d(np.asarray(count))[0]) for count in counts]
        within = all(0 < count <= most for count, most in zip(first, frames, strict=True))
        if within and (len({*first}) > 1 or len({*frames}) == 1):
            values = made[0][value.name]
            axes: Axes = ("batch",) if values.ndim else ()
            found.append((not value.says("len"), Port(value.name, str(values.dtype), axes)))
    return min(found, key=lambda each: each[0])[1] if found else None


def _say_what_is_wrong(
    seen: Sequence[Mapping[str, Array]], per_frame: bool, labels: LabelCheck, output: str
) -> None:
    """Raise what is wrong with the labels, where an output looks like one of labels."""
    for name, values in seen[0].items():
        if values.dtype.kind != "f" or values.ndim != (3 if per_frame else 2):
            continue
        if output in ("", name):
            shapes = [each[name].shape for each in seen]
            constant = [sizes[0] for sizes in zip(*shapes, strict=True) if len({*sizes}) == 1]
            labels(constant[-1] if len(constant) > 1 else values.shape[-1])
