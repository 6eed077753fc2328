"""Which layers are to be split at which rank, and which to make how many channels."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from quantkit.errors import InputError
from quantkit.graph.plan import Structure
from quantkit.structure.channel_paths import ChannelPath
from quantkit.structure.layers import Splittable


@dataclass(frozen=True)
class RankRule:
    """The ranks of the layers that ``pattern`` picks: each becomes two or three.

    >>> RankRule.parse("layer9.conv=128:1/2").outputs
    Fraction(1, 2)

    Args:
        pattern: see :func:`~quantkit.quantization.choices.settings.match_layers`; of the float
            model's layers.
        outputs: channels before a last part that makes the outputs of them, or, below 1, a share of
            the most that there can be; 0 for no such part.
        inputs: likewise those behind a first part that makes them of the inputs.
    """

    pattern: str
    outputs: Fraction
    inputs: Fraction = Fraction(0)

    @classmethod
    def parse(cls, text: str) -> RankRule:
        """Read ``PATTERN=[INPUT_RANK:]RANK``: whole numbers, or shares such as ``0.5`` or ``1/2``.

        Raises:
            InputError: the text is none of these.
        """
        pattern, _, sides = text.rpartition("=")
        inputs, _, outputs = sides.rpartition(":")
        try:
            found = [Fraction(side or 0) for side in (outputs, inputs)]
        except (ValueError, ZeroDivisionError):
            found = []
        wrong = any(each < 0 or (each > 1 and each.denominator > 1) for each in found)
        if not pattern or not any(found) or wrong:
            raise InputError(
                f"rank {text!r} is not PATTERN=[INPUT_RANK:]RANK; for example layer9.conv=120, or "
                "Conv=1/2 for half of the most that there can be"
            )
        return cls(pattern, *found)

    def ranks(self, layer: Splittable) -> Structure:
        """Of one of the layers."""
        outputs, inputs = self.outputs, self.inputs
        return Structure(
            int(outputs) if outputs >= 1 or not outputs else layer.rank(float(outputs)),
            int(inputs) if inputs >= 1 or not inputs else layer.input_rank(float(inputs)),
        )


@dataclass(frozen=True)
class ChannelRule:
    """How many channels the layers that ``pattern`` picks make.

    >>> ChannelRule.parse("*.intermediate_dense=3/4").channels
    Fraction(3, 4)

    Args:
        pattern: see :func:`~quantkit.quantization.choices.settings.match_layers`; of the float
            model's layers.
        channels: how many, or, below 1, a share of all.
    """

    pattern: str
    channels: Fraction

    @classmethod
    def parse(cls, text: str) -> ChannelRule:
        """Read ``PATTERN=CHANNELS``: a whole number, or a share such as ``0.5`` or ``1/2``.

        Raises:
            InputError: the text is none of these.
        """
        pattern, _, channels = text.rpartition("=")
        try:
            found = Fraction(channels)
        except (ValueError, ZeroDivisionError):
            found = Fraction(0)
        if not pattern or found <= 0 or (found > 1 and found.denominator > 1):
            raise InputError(
                f"channels {text!r} is not PATTERN=CHANNELS; for example layer8.conv=144, or "
                "Conv=3/4 for three quarters of them"
            )
        return cls(pattern, found)

    def count(self, path: ChannelPath) -> int:
        """Of one of the layers."""
        whole = self.channels >= 1
        return int(self.channels) if whole else path.count(float(self.channels))
