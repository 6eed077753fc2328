"""What somebody's ``.onnx`` takes and gives, found by looking and by running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper

from quantkit.arrays import Array, FloatArray
from quantkit.audio.frontend import Frontend
from quantkit.errors import ModelError
from quantkit.runtime.errors import runtime_errors
from quantkit.runtime.session import open_session, session_options

_INTEGERS = (TensorProto.INT64, TensorProto.INT32)
_LOG_NOTHING = 4
_MASK_TYPES = (*_INTEGERS, TensorProto.BOOL, TensorProto.FLOAT)

# Audio that every model takes, in seconds.
_LONG, _SHORT = 3.0, 1.0


@dataclass(frozen=True)
class Value:
    """An input or output: its name, type, and axes, of which 0 stands for any length."""

    name: str
    type: int
    axes: tuple[int, ...]

    @classmethod
    def of(cls, info: onnx.ValueInfoProto) -> Value:
        """From what the graph says."""
        tensor = info.type.tensor_type
        return cls(info.name, tensor.elem_type, tuple(d.dim_value for d in tensor.shape.dim))


@dataclass(frozen=True)
class Interface:
    """Which value of a graph means what.

    Args:
        audio: float, (samples,), (batch, samples), (batch, 1, samples), or features (batch,
            frames, bands).
        lengths: integer (batch,), as long as the audio's axis.
        mask: (batch, samples), one or true where there is audio.
        output: float; logits, probabilities or log-probabilities of frames or clips.
        batched: whether ``output`` has an axis for the batch.
    """

    audio: Value
    lengths: Value | None
    mask: Value | None
    output: Value
    batched: bool

    @property
    def is_features(self) -> bool:
        """Whether the model takes features instead of samples."""
        return len(self.audio.axes) == 3 and self.audio.axes[1] != 1

    @property
    def fixed_samples(self) -> int:
        """The one length of audio that the model takes; 0 if it takes any."""
        return 0 if self.is_features else self.audio.axes[-1]


def interface_of(model: onnx.ModelProto, per_frame: bool, origin: Path) -> Interface:
    """Recognise the values of ``model``.

    Args:
        per_frame: whether its output has an axis of frames.

    Raises:
        ModelError: the inputs or outputs are not those of such a model.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [Value.of(v) for v in model.graph.input if v.name not in constants]
    outputs = [Value.of(v) for v in model.graph.output]
    audio = [v for v in inputs if v.type == TensorProto.FLOAT and _is_audio(v, inputs)]
    if len(audio) != 1:
        raise ModelError(
            f"{origin} has inputs {_in_words(inputs)}; it needs one of float32 for audio: "
            f"(samples), (batch, samples) or features (batch, frames, {Frontend().mel_bands})"
        )
    rest = [v for v in inputs if v is not audio[0]]
    lengths = [v for v in rest if len(v.axes) == 1 and v.type in _INTEGERS]
    masks = [v for v in rest if len(v.axes) == 2 and v.type in _MASK_TYPES]
    strange = [v for v in rest if v not in lengths and v not in masks]
    if strange or len(lengths) > 1 or len(masks) > 1:
        raise ModelError(
            f"{origin} has inputs {_in_words(inputs)}; besides the audio it may have lengths "
            "(batch), integer, and a mask (batch, samples)"
        )
    output = _output(outputs, per_frame, origin)
    return Interface(
        audio[0],
        lengths[0] if lengths else None,
        masks[0] if masks else None,
        output,
        len(output.axes) == _axes(per_frame)[0],
    )


def _is_audio(value: Value, inputs: Sequence[Value]) -> bool:
    axes = value.axes
    if len(axes) == 3:
        return axes[1] == 1 or axes[2] == Frontend().mel_bands
    # A float mask has the shape of the audio, and says what it is.
    others = [v for v in inputs if v is not value and v.type == TensorProto.FLOAT]
    return len(axes) in (1, 2) and not (others and "mask" in value.name.lower())


def _axes(per_frame: bool) -> tuple[int, int]:
    """How many an output has with and without one for the batch."""
    return (3, 2) if per_frame else (2, 1)


def _output(outputs: Sequence[Value], per_frame: bool, origin: Path) -> Value:
    floats = [v for v in outputs if v.type == TensorProto.FLOAT]
    fitting = [v for v in floats if len(v.axes) in _axes(per_frame)]
    named = [v for v in fitting if v.name.lower() in ("logits", "log_probs", "logprobs", "probs")]
    chosen = named[:1] if len(fitting) > 1 else fitting
    if len(chosen) != 1:
        what = "(batch, frames, labels)" if per_frame else "(batch, classes)"
        raise ModelError(
            f"{origin} has outputs {_in_words(outputs)}; it needs one of float32 {what}"
        )
    return chosen[0]


def _in_words(values: Sequence[Value]) -> str:
    return ", ".join(
        f"{v.name} {_type_name(v.type)} ({', '.join(str(n) if n else '?' for n in v.axes)})"
        for v in values
    )


def _type_name(code: int) -> str:
    return str(TensorProto.DataType.Name(code)).lower() if code else "no tensor"


class ForeignModel:
    """A foreign model in ONNX Runtime, one clip at a time.

    Args:
        sample_rate: of its audio, in hertz.
    """

    def __init__(self, path: Path, interface: Interface, sample_rate: int) -> None:
        self.interface, self.sample_rate = interface, sample_rate
        options = session_options(threads=0)
        # Clips that are too short are tried on purpose.
        options.log_severity_level = _LOG_NOTHING
        self.session: onnxruntime.InferenceSession = open_session(path, options)
        self.halves = {v.name for v in self.session.get_inputs() if v.type == "tensor(float16)"}

    def __call__(self, clip: FloatArray) -> Array:
        """The output for (samples,) or (frames, bands), without the axis of the batch.

        Raises:
            ModelError: ONNX Runtime fails on it.
        """
        interface = self.interface
        audio = clip
        if len(interface.audio.axes) > 1:
            channel = len(interface.audio.axes) == 3 and not interface.is_features
            audio = clip[None, None] if channel else clip[None]
        feeds: dict[str, Array] = {interface.audio.name: audio}
        if interface.lengths is not None:
            feeds[interface.lengths.name] = np.array([len(clip)], _numpy(interface.lengths))
        if interface.mask is not None:
            feeds[interface.mask.name] = np.ones((1, len(clip)), _numpy(interface.mask))
        # The original may take 16 bits where the converted graph takes 32.
        feeds |= {name: feeds[name].astype(np.float16) for name in self.halves & feeds.keys()}
        with runtime_errors(f"the model fails on a clip of {len(clip)}"):
            (output,) = self.session.run([interface.output.name], feeds)
        found = np.asarray(output).astype(np.float32)
        return found[0] if interface.batched else found

    def noise(self, length: int, seed: int = 0) -> FloatArray:
        """A clip to try the model with."""
        generator = np.random.default_rng(seed)
        shape = (length, Frontend().mel_bands) if self.interface.is_features else (length,)
        scale = 1.0 if self.interface.is_features else 0.1
        return (scale * generator.standard_normal(shape)).astype(np.float32)

    def steps(self, seconds: float) -> int:
        """Length of a clip of so many seconds."""
        if self.interface.fixed_samples:
            return self.interface.fixed_samples
        samples = round(seconds * self.sample_rate)
        return Frontend().frames_of(samples) if self.interface.is_features else samples


def shortest_clip(run: ForeignModel) -> int:
    """Length of the shortest clip that the model gives numbers for."""

    def works(length: int) -> bool:
        try:
            return bool(np.isfinite(run(run.noise(length))).all())
        except ModelError:
            return False

    low, high = 0, run.steps(_SHORT)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high


@dataclass(frozen=True)
class Framing:
    """Output frames of a clip: ``(length + offset) // stride``.

    So it is for any stack of convolutions, because nested divisions that round down are one.
    """

    stride: int
    offset: int

    def __call__(self, length: int) -> int:
        return max(0, (length + self.offset) // self.stride)


def framing_of(run: ForeignModel, origin: Path) -> Framing:
    """Find the framing of a CTC model by running it.

    Raises:
        ModelError: its frames do not follow the length of the clip that way.
    """

    def frames(length: int) -> int:
        return int(run(run.noise(length)).shape[0])

    short, long = run.steps(_SHORT), run.steps(_LONG)
    first, last = frames(short), frames(long)
    if last <= first:
        raise ModelError(
            f"{origin}: clips of {short} and of {long} give {first} and {last} frames each; a CTC "
            "model has more frames for longer clips"
        )
    stride = round((long - short) / (last - first))
    # The shortest clip beyond `short` that has a frame more.
    low, high = short, short + 2 * stride
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if frames(middle) == first else (low, middle)
    framing = Framing(stride, (first + 1) * stride - high)
    for length in (short, high, long, (short + long) // 2, long - stride // 2 - 1):
        if frames(length) != framing(length):
            raise ModelError(
                f"{origin}: how many frames a clip has does not follow from its length: a clip of "
                f"{length} has {frames(length)}"
            )
    return framing


def _numpy(value: Value) -> npt.DTypeLike:
    return helper.tensor_dtype_to_np_dtype(value.type)
