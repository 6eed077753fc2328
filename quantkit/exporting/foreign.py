"""What the inputs of somebody's ``.onnx`` may mean, as far as looking at the graph shows."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from quantkit.audio.frontend import Frontend
from quantkit.audio.frontends import FRONTENDS, frontend_named
from quantkit.errors import ModelError
from quantkit.graph.interface import Role

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
_INTEGERS = (TensorProto.INT64, TensorProto.INT32)
_SAMPLE_INTEGERS = (TensorProto.INT16, TensorProto.INT32)
_SMALL_INTEGERS = (TensorProto.UINT8, TensorProto.INT8, TensorProto.INT16)
_MASK_TYPES = (*_INTEGERS, *_SMALL_INTEGERS, TensorProto.BOOL, *_FLOATS)

_RATE = re.compile(r"(^|[_.])(sr|fs|rate)$|sampl\w*_?rate", re.IGNORECASE)
# What models that hear piece by piece call what they remember.
_STATES = ("cache", "state", "hidden", "past", "prev", "memory")

Axes = tuple[Role, ...]

_WAVEFORMS: tuple[Axes, ...] = (
    ("batch", "samples"),
    ("batch", "channel", "samples"),
    ("batch", "samples", "channel"),
    ("samples",),
)
_FEATURES: tuple[Axes, ...] = (
    ("batch", "frames", "bands"),
    ("batch", "bands", "frames"),
    ("frames", "batch", "bands"),
    ("batch", "channel", "frames", "bands"),
    ("batch", "channel", "bands", "frames"),
    ("frames", "bands"),
    ("bands", "frames"),
)


# More than an hour of samples.
_MOST_NUMBERS = 1 << 26


@dataclass(frozen=True)
class Value:
    """An input or output: its name, type, and axes, of which 0 stands for any length.

    ``axes`` is None where not even their number is declared.
    """

    name: str
    type: int
    axes: tuple[int, ...] | None

    @classmethod
    def of(cls, info: onnx.ValueInfoProto) -> Value:
        """From what the graph says."""
        tensor = info.type.tensor_type
        axes = tuple(d.dim_value for d in tensor.shape.dim) if tensor.HasField("shape") else None
        return cls(info.name, tensor.elem_type, axes)

    @property
    def rank(self) -> int | None:
        """Number of axes."""
        return None if self.axes is None else len(self.axes)

    @property
    def numpy(self) -> str:
        """Type of its elements, as NumPy calls it."""
        return str(helper.tensor_dtype_to_np_dtype(self.type))

    @property
    def is_float(self) -> bool:
        """Whether its elements are of floating point."""
        return self.type in _FLOATS

    def says(self, word: str) -> bool:
        """Whether its name holds a word."""
        return word in self.name.lower()


@dataclass(frozen=True)
class ForeignInputs:
    """Which input means what.

    Args:
        audio: samples or features, and the ways in which its axes can be read.
        lengths: of the clips in a batch; of floating point, relative or not.
        mask: (batch, steps), whether there is audio, or whether there is none.
        rate: the sample rate.
    """

    audio: Value
    layouts: tuple[Axes, ...]
    lengths: Value | None
    mask: Value | None
    rate: Value | None = None


def inputs_of(model: onnx.ModelProto, bands: int, origin: Path) -> ForeignInputs:
    """Tell the inputs of ``model`` apart.

    Args:
        bands: of the front end that was named; 0 where none was.

    Raises:
        ModelError: the inputs are not those of a model that hears.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [Value.of(v) for v in model.graph.input if v.name not in constants]
    rates = [v for v in inputs if _may_be_rate(v)][:1]
    inputs = [v for v in inputs if v not in rates]
    audio = _audio_among(inputs, bands)
    if len(audio) != 1:
        raise ModelError(
            f"{origin} has inputs {in_words(inputs)}; it needs one of float32 for audio: "
            f"(samples), (batch, samples) or features (batch, frames, bands)"
            f"{_advice(inputs, bands)}{_on_states(inputs)}"
        )
    # An axis of any length is declared as 0.
    if math.prod(size or 1 for size in audio[0].axes or ()) > _MOST_NUMBERS:
        raise ModelError(
            f"{origin} has inputs {in_words(audio)}: more audio in a run than can be tried"
        )
    rest = [v for v in inputs if v is not audio[0]]
    lengths = [v for v in rest if _may_be_lengths(v, audio[0])]
    masks = [v for v in rest if v not in lengths and _may_be_mask(v)]
    strange = [v for v in rest if v not in lengths and v not in masks]
    if strange or len(lengths) > 1 or len(masks) > 1:
        raise ModelError(
            f"{origin} has inputs {in_words(inputs)}; besides the audio it may have lengths "
            f"(batch), integer or relative, and a mask (batch, samples){_on_states(strange)}"
        )
    return ForeignInputs(
        audio[0],
        layouts_of(audio[0], bands),
        lengths[0] if lengths else None,
        masks[0] if masks else None,
        rates[0] if rates else None,
    )


def layouts_of(value: Value, bands: int) -> tuple[Axes, ...]:
    """The ways to read the axes of audio, the most usual first.

    Args:
        bands: see :func:`inputs_of`; features of our own front end need not be named.
    """
    if bands:
        return _feature_layouts(value, bands)
    ours = Frontend().mel_bands
    declared = value.axes is not None and ours in value.axes[1:]
    features = _feature_layouts(value, ours) if declared else ()
    return (*features, *(axes for axes in _WAVEFORMS if _fits(value, axes, 0)))


def _feature_layouts(value: Value, bands: int) -> tuple[Axes, ...]:
    found = tuple(axes for axes in _FEATURES if _fits(value, axes, bands))
    sizes = value.axes or ()
    if not sizes:
        return found
    if declared := tuple(axes for axes in found if sizes[axes.index("bands")] == bands):
        return declared
    # What has one number of frames has one of bands, too.
    return () if any(size > 1 for size in sizes[1:]) else found


def in_words(values: Sequence[Value]) -> str:
    """Names, types and shapes."""
    return ", ".join(f"{v.name} {_type_name(v.type)} {_shape(v)}" for v in values)


def _fits(value: Value, axes: Axes, bands: int) -> bool:
    if value.axes is None:
        return True
    if not bands and len(value.axes) == 3 and 1 not in value.axes[1:] and any(value.axes[1:]):
        # Some axis that is long is no channel, and the other one is declared to be of any length.
        return False
    allowed = {"channel": (0, 1), "bands": (0, bands)}
    return len(value.axes) == len(axes) and all(
        size in allowed.get(role, (size,)) for size, role in zip(value.axes, axes, strict=True)
    )


def _audio_among(inputs: Sequence[Value], bands: int) -> list[Value]:
    found = [v for v in inputs if v.is_float and layouts_of(v, bands)]
    if not found:
        found = [v for v in inputs if v.type in _SAMPLE_INTEGERS and layouts_of(v, bands)]
    if len(found) > 1:
        # A mask has the shape of the audio, and lengths that of one clip; their names say so.
        found = [v for v in found if not v.says("mask") and not v.says("len")] or found
    if len(found) > 1 and any(v.rank != 1 for v in found):
        found = [v for v in found if v.rank != 1]
    return found


def _may_be_lengths(value: Value, audio: Value) -> bool:
    if value.rank is None:
        return value.says("len") and (value.type in _INTEGERS or value.is_float)
    if value.rank == 2:
        # A column.
        return value.axes[1:] == (1,) and value.says("len") if value.axes else False
    if value.is_float:
        return value.rank == 1 and audio.rank != 1
    return value.rank in (0, 1) and value.type in _INTEGERS


def _may_be_rate(value: Value) -> bool:
    numeric = value.type in _INTEGERS or value.is_float
    return numeric and value.rank in (0, 1) and _RATE.search(value.name) is not None


def _on_states(inputs: Sequence[Value]) -> str:
    states = [v.name for v in inputs if any(v.says(word) for word in _STATES)]
    if not states:
        return ""
    return (
        f"; {states[0]} looks like a state between calls: give the folder that it was published "
        "in for sherpa-onnx, with its tokens.txt, or export the model for whole clips"
    )


def _may_be_mask(value: Value) -> bool:
    if value.type not in _MASK_TYPES:
        return False
    return value.says("mask") if value.rank is None else value.rank == 2


def _advice(inputs: Sequence[Value], bands: int) -> str:
    """Which option tells what features are in the way."""
    if bands:
        return f" of {bands} bands, as the front end that was named gives them"
    named = {n: getattr(frontend_named(n), "mel_bands", 0) for n in FRONTENDS}
    for value in inputs:
        for size in value.axes or ():
            if fitting := [name for name, number in named.items() if number == size]:
                return f"; say which {size} bands these are with --frontend {'|'.join(fitting)}"
    return ""


def _shape(value: Value) -> str:
    if value.axes is None:
        return "(of unknown shape)"
    return f"({', '.join(str(n) if n else '?' for n in value.axes)})"


def _type_name(code: int) -> str:
    return str(TensorProto.DataType.Name(code)).lower() if code else "no tensor"
