"""What a model that others made takes and gives, beside what its artifact takes and gives.

Free of the ``onnx`` package, as edge programs are. An artifact has ``waveform`` (batch, samples) or
``features`` (batch, frames, bands), and ``lengths`` (batch,); it gives ``log_probs`` (batch,
frames, labels) or (batch, classes), and ``output_lengths`` (batch,). The metadata entry
``quantkit.interface`` says how these become the inputs of the program that the model came from, and
how that model's outputs become ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Literal

from quantkit.errors import FormatError
from quantkit.json_dataclass import build

#: Metadata entry of what somebody else's model takes and gives; :class:`Interface` as JSON.
INTERFACE_KEY = "quantkit.interface"
#: The same, in ``ArtifactInfo.extra``.
INTERFACE = INTERFACE_KEY.removeprefix("quantkit.")

Role = Literal["batch", "channel", "samples", "frames", "bands", "labels"]
#: Whether a number is unknown, the name of an axis, or its size.
Size = int | str | None

#: Steps of audio that a model takes: samples, or frames of features.
STEPS: tuple[Role, ...] = ("samples", "frames")


@dataclass(frozen=True)
class Declared:
    """An input or output as the graph declares it.

    Args:
        name: of the value.
        type: of its elements, as NumPy calls it.
        shape: JSON list of sizes, names of axes, and null; empty where no shape is declared.
        computed: the type that the graph has it in, where that is another one: the graph was
            widened when it was adopted.
    """

    name: str
    type: str
    shape: str = ""
    computed: str = ""

    @classmethod
    def of(cls, name: str, type: str, *sizes: Size) -> Declared:
        """With a shape of these axes.

        >>> Declared.of("lengths", "int64", "batch").sizes
        ('batch',)
        """
        return cls(name, type, json.dumps(sizes))

    @property
    def sizes(self) -> tuple[Size, ...] | None:
        """The shape; None where not even the number of axes is declared."""
        return tuple(json.loads(self.shape)) if self.shape else None


@dataclass(frozen=True)
class Port:
    """A value whose meaning is known.

    Args:
        name: of the value.
        type: of its elements, as NumPy calls it.
        axes: what each of its axes counts.
    """

    name: str
    type: str
    axes: tuple[Role, ...]


@dataclass(frozen=True)
class Interface:
    """What somebody else's model takes and gives.

    Args:
        audio: samples or features.
        output: logits, probabilities or log-probabilities of frames or clips.
        lengths: how many steps of the audio are the clip's own.
        relative: whether ``lengths`` are shares of the longest clip, in (0, 1].
        mask: one or true where there is audio.
        inverted: whether ``mask`` is one or true where there is none.
        rate: an input that says the sample rate, as ``sample_rate`` has it, in hertz.
        frames: an output with the number of output frames of each clip.
        steps: the one length of audio that the model takes; 0 if it takes any.
        batch: the one number of clips that it takes; 0 if it takes any.
        scale: see :data:`~quantkit.runtime.output_scale.Scale`.
        stride, offset: a clip has ``(length + offset) // stride`` output frames; without a stride
            it has all that there are.
        normalize: whether clips are given mean 0 and variance 1 first.
        kept: whether the file itself has these inputs and outputs; else nodes around the graph
            translate.
        inputs, outputs: of the graph, as it declares them, in its order.
    """

    audio: Port
    output: Port
    scale: Literal["log-probabilities", "probabilities", "logits"]
    lengths: Port | None = None
    relative: bool = False
    mask: Port | None = None
    frames: Port | None = None
    steps: int = 0
    batch: int = 0
    stride: int = 0
    offset: int = 0
    normalize: bool = False
    kept: bool = False
    inputs: tuple[Declared, ...] = ()
    outputs: tuple[Declared, ...] = ()
    inverted: bool = False
    rate: Port | None = None
    sample_rate: int = 0

    @property
    def is_features(self) -> bool:
        """Whether the model takes features instead of samples."""
        return "bands" in self.audio.axes

    @property
    def per_frame(self) -> bool:
        """Whether the output has an axis of frames."""
        return "frames" in self.output.axes

    @property
    def clips_at_once(self) -> int:
        """How many clips are run together; 0 for any number."""
        alone = self.batch or "batch" not in self.audio.axes or "batch" not in self.output.axes
        counted = self.stride or self.frames or self.steps or not self.per_frame
        return 1 if alone or not counted else 0

    @property
    def window(self) -> int:
        """Steps of audio of each part that a longer clip is cut into; 0 where none is cut.

        A classifier hears the beginning of a clip only.
        """
        return self.steps if self.per_frame else 0

    def frames_of(self, length: int) -> int:
        """Output frames of a clip of ``length`` steps, where they follow from it."""
        return max(0, (length + self.offset) // self.stride)

    def to_json(self) -> str:
        """The metadata entry."""
        unsaid: dict[str, object] = {"lengths": None, "mask": None, "frames": None}
        # What earlier versions did not know is left out where it says nothing.
        unsaid |= {"rate": None, "sample_rate": 0, "inverted": False}
        content = {k: v for k, v in asdict(self).items() if k not in unsaid or v != unsaid[k]}
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Interface:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: it is damaged.
        """
        where = "the interface of the original"
        try:
            found = build(cls, json.loads(text), where)
            for each in (*found.inputs, *found.outputs):
                if each.shape and not isinstance(json.loads(each.shape), list):
                    raise FormatError(f"{where}: {each.name} has no proper shape")
            # An escape such as \ud800 is half a character, which no name in a file can hold.
            found.to_json().encode()
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{where} is not readable: {error}") from error
        if min(found.steps, found.batch, found.stride, found.sample_rate) < 0:
            raise FormatError(f"{where}: steps, batch, stride and rate must not be negative")
        return found

    def as_kept(self, kept: bool) -> Interface:
        """The same, of a file that has these inputs and outputs or has ours."""
        return replace(self, kept=kept)


def interface_in(metadata: Mapping[str, str]) -> Interface | None:
    """The interface that the metadata of an artifact have; None for a model of our own.

    Args:
        metadata: entries of the file, or ``ArtifactInfo.extra``.

    Raises:
        FormatError: it is damaged.
    """
    text = metadata.get(INTERFACE_KEY) or metadata.get(INTERFACE)
    return _parsed(text) if text else None


@lru_cache
def _parsed(text: str) -> Interface:
    return Interface.from_json(text)
