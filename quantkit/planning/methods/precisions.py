"""The choice of each layer of a model at each number of bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from quantkit.codecs.catalogue import FLOAT32, INT8, CodecChoice
from quantkit.errors import InputError
from quantkit.graph.plan import Plan
from quantkit.planning.methods.bit_sequences import Bits
from quantkit.planning.size_model import SizeModel
from quantkit.quantization.choices.settings import (
    FLOAT_LAYER,
    LayerChoice,
    QuantizeSettings,
    row_of,
)
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import AssignedModel, PreparedModel
from quantkit.quantization.tied_weights import Groups, shared_weights

#: Bits of a layer that stays float32.
FLOAT_BITS = 32
#: The most bits that integer kernels read.
INTEGER_BITS = 8

#: Activation bits: a number, or ``weights`` for as many as the layer's weights, as in myQASR. None:
#: those of the settings.
ActivationBits = int | Literal["weights"] | None


@dataclass(frozen=True)
class _Alike:
    """The choices of all layers if all free ones have the same codec.

    Args:
        choices: by layer name.
        notes: why a choice is not the requested one, by layer name.
    """

    choices: Mapping[str, LayerChoice]
    notes: Mapping[str, str]


class Precisions:
    """The layers of a model that a method assigns bits to, and the choice for each number of bits.

    Layers that the settings exclude, or whose rule has a codec, follow the settings. Layers with a
    tied weight are treated as one, under the first one's name.

    A layer of 32 bits stays float32. One of 9 to 31 bits is stored as int8: no integer kernel reads
    more than 8 bits, so int16 would double the layer, run at float speed, and still multiply 8-bit
    activations. Below that, a number of bits that the codec does not have is rounded up to the next
    one.

    Args:
        source: the float model.
        settings: compute, exclusions and rules; its codec is set here.
        codec: name of the codec for fewer than 8 bits.
        activation_bits: see :data:`ActivationBits`.

    Raises:
        InputError: an unknown codec, settings that it does not support, or settings that leave no
            layer free.
        ModelError: see :func:`~quantkit.quantization.quantize_model`.
    """

    def __init__(
        self,
        source: Path | PreparedModel,
        settings: QuantizeSettings,
        codec: str = "bitplane",
        activation_bits: ActivationBits = None,
    ) -> None:
        self.source = PreparedModel.of(source)
        self._settings = settings
        self._activation_bits = activation_bits
        self._codecs = codec_widths(codec)
        assigned = prepare(self.source, replace(settings, codec=INT8))
        self._alike = {str(INT8): _alike(assigned)}
        self._sizes = SizeModel(self.source, settings, assigned)
        self._plan = assigned.plan
        #: Layers by the name of their group.
        self._groups = self._free_layers(shared_weights(assigned.model, assigned.layers))
        if not self._groups:
            raise InputError(
                f"{self.source.source}: the settings leave no layer to assign bits to; "
                "exclude fewer layers"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free layers, in graph order."""
        return tuple(name for name in self._sizes.layers if name in self._groups)

    @property
    def lowest(self) -> int:
        """The fewest bits that the codec has."""
        return min(self._codecs)

    @property
    def model_sha256(self) -> str:
        """Of the float model."""
        return self._plan.model_sha256

    @property
    def weights(self) -> Mapping[str, int]:
        """Number of weights of each free layer."""
        return {name: math.prod(self._sizes.layers[name].shape) for name in self.names}

    def codec(self, bits: int) -> CodecChoice:
        """The codec for weights of ``bits`` bits."""
        if bits >= FLOAT_BITS:
            return FLOAT32
        wide_enough = (width for width in self._codecs if width >= bits)
        return self._codecs[min(wide_enough, default=INTEGER_BITS)]

    def choices(self, bits: Bits) -> dict[str, LayerChoice]:
        """The choice of every layer of the model, by its name.

        Args:
            bits: for each of :attr:`names`.
        """
        choices = dict(self._at(INTEGER_BITS).choices)
        for leader, group in self._groups.items():
            for name in group:
                choices[name] = self._choice(name, bits[leader])
        return choices

    def plan(self, bits: Bits, method: str) -> Plan:
        """The same as a plan, without sizes.

        Args:
            method: recorded in the plan.
        """
        notes = dict(self._at(INTEGER_BITS).notes)
        for leader, group in self._groups.items():
            for name in group:
                notes[name] = self._at(bits[leader]).notes[name]
        rows = tuple(
            row_of(self._sizes.layers[name], choice, notes[name])
            for name, choice in self.choices(bits).items()
        )
        return replace(self._plan, layers=rows, method=method)

    def estimate(self, bits: Bits) -> int:
        """Approximate size of the file; see :class:`~quantkit.planning.size_model.SizeModel`."""
        return self._sizes.total(self.choices(bits))

    def _choice(self, name: str, bits: int) -> LayerChoice:
        if bits >= FLOAT_BITS:
            return FLOAT_LAYER
        choice = self._at(bits).choices[name]
        activation_bits = self._activation_bits
        if activation_bits is None or choice.compute not in ("static", "dynamic"):
            return choice
        if activation_bits == "weights":
            activation_bits = min(bits, INTEGER_BITS)
        return replace(choice, activation_bits=activation_bits)

    def _at(self, bits: int) -> _Alike:
        codec = self.codec(bits)
        if codec == FLOAT32:
            return _Alike({}, dict.fromkeys(self._sizes.layers, ""))
        if str(codec) not in self._alike:
            settings = replace(self._settings, codec=codec)
            self._alike[str(codec)] = _alike(prepare(self.source, settings))
        return self._alike[str(codec)]

    def _free_layers(self, shared: Groups) -> dict[str, tuple[str, ...]]:
        most, fewest = self._at(INTEGER_BITS).choices, self._at(self.lowest).choices
        free: dict[str, tuple[str, ...]] = {
            name: (name,) for name in most if most[name] != fewest[name]
        }
        for group in shared:
            together = tuple(name for name in group if name in free)
            for name in together[1:]:
                del free[name]
            if together:
                free[together[0]] = together
        return free


def codec_widths(codec: str) -> dict[int, CodecChoice]:
    """The codec at every number of bits below 8 that it has, and int8.

    Raises:
        InputError: no such codec, or it has no width below 8 bits.
    """
    if ":" in codec or "," in codec:
        raise InputError(f"codec {codec!r}: give its name only; the method finds the bits")
    found = {INTEGER_BITS: INT8}
    for bits in range(INTEGER_BITS - 1, 0, -1):
        with suppress(InputError):
            found[bits] = CodecChoice(codec, bits)
    if len(found) == 1:
        # No codec has a single whole width below 8, so this raises the appropriate error.
        CodecChoice.parse(f"{codec}:4")
    return found


def _alike(assigned: AssignedModel) -> _Alike:
    notes = {row.name: row.note for row in assigned.plan.layers}
    return _Alike({name: assigned.choices[name] for name in notes}, notes)
