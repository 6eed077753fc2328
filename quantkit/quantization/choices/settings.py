"""What to do with which layer: settings, and how patterns pick layers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, cast, get_args

from quantkit.calibration.ranges import tracker
from quantkit.codecs.catalogue import BLOCKS, FLOAT32, INT8, CodecChoice
from quantkit.errors import FormatError, InputError
from quantkit.graph.layers import Layer
from quantkit.graph.plan import COMPUTES, Compute, LayerPlan, Plan, Structure
from quantkit.quantization.choices.structure_rules import ChannelRule, RankRule
from quantkit.structure.channel_paths import ChannelPath
from quantkit.structure.layers import Splittable

RangeMethod = Literal["min-max", "percentile", "entropy", "cosine", "hessian"]
DynamicRange = Literal["per-batch", "per-clip"]

RANGES: tuple[RangeMethod, ...] = get_args(RangeMethod)
_DYNAMIC_RANGES = ("per-batch", "per-clip")
_DYNAMIC_LABELS = tuple(f"dynamic {each}" for each in _DYNAMIC_RANGES)
#: Where patterns come from, for messages.
EXCLUSION, RULE = "--exclude: ", "--layer: "
RANK, CHANNELS = "--rank: ", "--channels: "

_RULE = re.compile(r"([^=]+)=([^@/]*)(?:@([^/]+))?(?:/(\d+))?")
_INDEX = re.compile(r"[+-]?\d+")


def _one_of(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"unknown {what} {value!r}; choose one of {', '.join(choices)}")


@dataclass(frozen=True)
class LayerChoice:
    """What one layer shall become.

    Args:
        compute: the kernel.
        codec: how its weight is stored.
        activation_bits: of the grid that its input is rounded to; no meaning in float layers.
        range: how that grid is found: ``min-max``, ``percentile 99.99``, ``entropy``, ``cosine``
            or ``hessian`` over the calibration clips, ``dynamic per-batch`` or ``dynamic
            per-clip`` at run time, ``none``.

    Raises:
        InputError: an unknown compute or range, bits that no grid has, or a codec that the
            kernel cannot read.
    """

    compute: Compute
    codec: CodecChoice = INT8
    activation_bits: int = 8
    range: str = "none"

    def __post_init__(self) -> None:
        _one_of("compute", self.compute, COMPUTES)
        if not (1 <= self.activation_bits <= 8 or self.activation_bits == 16):
            raise InputError(f"activations have 1 to 8 or 16 bits, not {self.activation_bits}")
        if self.compute in ("dynamic", "static") and self.codec.is_float:
            raise InputError(
                f"{self.compute} layers need integer weights, not {self.codec}; "
                "choose another codec, or compute float32"
            )
        if self.compute == "dynamic" and (self.activation_bits == 16 or self.codec.name == "int16"):
            raise InputError("16-bit activations and weights need compute static")
        if (self.compute == "matmul-nbits") != (self.codec.name == "blocks"):
            raise InputError(
                f"compute {self.compute} cannot read codec {self.codec}: blocks and matmul-nbits "
                "go together only"
            )
        if self.compute == "static":
            tracker(self.range)
        elif self.compute == "dynamic":
            _one_of("range of a dynamic layer", self.range, _DYNAMIC_LABELS)

    @property
    def is_emulated(self) -> bool:
        """Whether the grids are finer than integer kernels know, so that a float one is used."""
        return self.compute == "static" and (
            self.activation_bits == 16 or self.codec.name == "int16"
        )

    @property
    def multiplies_bytes(self) -> bool:
        """Whether a kernel for uint8 activations and int8 weights computes the layer."""
        return self.compute in ("static", "dynamic") and not self.is_emulated

    @property
    def dynamic_range(self) -> DynamicRange:
        """The range of a dynamic layer."""
        return "per-clip" if self.range == "dynamic per-clip" else "per-batch"

    @property
    def is_plain_float(self) -> bool:
        """Whether the layer stays what it was."""
        return self.compute == "float32" and self.codec == FLOAT32


#: A layer that nothing is done to.
FLOAT_LAYER = LayerChoice("float32", FLOAT32)


@dataclass(frozen=True)
class LayerRule:
    """Settings of the layers that ``pattern`` picks; what is None is as for all others.

    >>> rule = LayerRule("layer9.conv", codec=CodecChoice.parse("grouped:3"))

    Args:
        pattern: see :func:`match_layers`.
        compute, codec, activation_bits: see :class:`LayerChoice`.
    """

    pattern: str
    compute: Compute | None = None
    codec: CodecChoice | None = None
    activation_bits: int | None = None

    @classmethod
    def parse(cls, text: str) -> LayerRule:
        """Read ``PATTERN=[CODEC][@COMPUTE][/ACTIVATION_BITS]``.

        >>> LayerRule.parse("layer9.*=grouped:3@static/6").activation_bits
        6

        Raises:
            InputError: the text says none of these, or something that does not exist.
        """
        match = _RULE.fullmatch(text)
        if match is None or not any(match.groups()[1:]):
            raise InputError(
                f"rule {text!r} is not PATTERN=CODEC@COMPUTE/ACTIVATION_BITS; for example "
                "layer9.conv=grouped:3@static"
            )
        pattern, codec, compute, activation_bits = match.groups()
        if compute:
            _one_of("compute", compute, COMPUTES)
        return cls(
            pattern,
            cast(Compute, compute) if compute else None,
            CodecChoice.parse(codec) if codec else None,
            int(activation_bits) if activation_bits else None,
        )


@dataclass(frozen=True)
class QuantizeSettings:
    """How a float model is quantized.

    >>> settings = QuantizeSettings(compute="static", exclude=("1", "-1"))

    Args:
        name: for the metadata and messages.
        compute: default of all layers; the settings below override it.
        operators: compute per operator, such as ``{"MatMul": "dynamic"}``.
        exclude: layers that stay float32; see :func:`match_layers` for the patterns.
        codec: how weights are stored; None: int8 in integer layers, float32 in float ones,
            blocks of 4 bits in those of compute matmul-nbits.
        activation_bits: of the grids that integer layers round their input to.
        rules: exceptions for some layers; a later one wins. Of a layer that is split they see the
            parts: ``layer9.conv.first``, ``layer9.conv.in`` and ``layer9.conv``.
        ranks: layers that are split; a later one wins. Needs clips.
        channels: layers that make fewer channels, likewise; ranks are those of what is left.
        target_runtime: the oldest ONNX Runtime that must load the file, such as ``1.17``; empty
            for the one that is installed.
        skip_passes: names of passes in :mod:`quantkit.passes` to leave out, to see what they give.
        range: how static activation ranges are chosen from calibration clips.
        percentile: share of activations, in per cent, that a ``percentile`` range covers.
        dynamic_range: whether a dynamic range is found over the whole padded batch, as ONNX
            Runtime's ``DynamicQuantizeLinear`` does it, or for each clip on its own, whatever its
            batch mates hold. A clip's own padding counts, where the model does not zero it.

    Raises:
        InputError: a value that is not one of the listed ones.
    """

    name: str = "custom"
    compute: Compute = "static"
    operators: Mapping[str, Compute] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    codec: CodecChoice | None = None
    activation_bits: int = 8
    rules: tuple[LayerRule, ...] = ()
    target_runtime: str = ""
    skip_passes: tuple[str, ...] = ()
    range: RangeMethod = "min-max"
    percentile: float = 99.99
    dynamic_range: DynamicRange = "per-batch"
    ranks: tuple[RankRule, ...] = ()
    channels: tuple[ChannelRule, ...] = ()

    def __post_init__(self) -> None:
        for value in (self.compute, *self.operators.values()):
            _one_of("compute", value, COMPUTES)
        _one_of("range", self.range, RANGES)
        _one_of("dynamic range", self.dynamic_range, _DYNAMIC_RANGES)
        if not 50.0 < self.percentile <= 100.0:
            raise InputError(
                f"percentile must be above 50 and at most 100, not {self.percentile:g}"
            )

    def assign(self, layers: Sequence[Layer]) -> dict[str, LayerChoice]:
        """The choice for each layer, by its name.

        Raises:
            InputError: a pattern that matches no layer, or a choice that contradicts itself.
        """
        excluded = match_layers(self.exclude, layers, EXCLUSION)
        matches = [(rule, match_layers((rule.pattern,), layers, RULE)) for rule in self.rules]
        choices: dict[str, LayerChoice] = {}
        for layer in layers:
            compute = self.operators.get(layer.op, self.compute)
            codec, activation_bits = self.codec, self.activation_bits
            if layer.name in excluded:
                compute, codec = "float32", FLOAT32
            for rule, matched in matches:
                if layer.name in matched:
                    compute = rule.compute or compute
                    codec = rule.codec or codec
                    activation_bits = rule.activation_bits or activation_bits
            if codec is None:
                codec = {"float32": FLOAT32, "matmul-nbits": BLOCKS}.get(compute, INT8)
            label = {"static": self.range_label, "dynamic": f"dynamic {self.dynamic_range}"}
            choices[layer.name] = LayerChoice(
                compute, codec, activation_bits, label.get(compute, "none")
            )
        return choices

    @property
    def has_structure(self) -> bool:
        """Whether some layer is to be split, or to make fewer channels."""
        return bool(self.ranks or self.channels)

    def fewer_channels(
        self, layers: Sequence[Layer], paths: Mapping[str, ChannelPath]
    ) -> dict[str, Structure]:
        """Layers that are to make fewer channels, by name.

        Args:
            layers: of the float model.
            paths: of those of them that could.

        Raises:
            InputError: a pattern picks no layer that could, or none that makes more.
        """
        found: dict[str, Structure] = {}
        for rule in self.channels:
            matched = match_layers((rule.pattern,), layers, CHANNELS)
            chosen = {
                name: Structure(channels=count)
                for name, path in paths.items()
                if name in matched and path.saves(count := rule.count(path))
            }
            if not chosen:
                raise InputError(
                    f"{CHANNELS}{rule.pattern} leaves nothing out of any layer that it matches: "
                    f"{_all(matched, paths)}"
                )
            found |= chosen
        return {name: found[name] for name in paths if name in found}

    def structure(
        self, layers: Sequence[Layer], splittable: Mapping[str, Splittable]
    ) -> dict[str, Structure]:
        """Ranks of the layers to split, by name.

        Args:
            layers: of the float model with none split; some may make fewer channels.
            splittable: those of them that could be.

        Raises:
            InputError: a pattern picks no layer that could be split, or none with so low a rank.
        """
        found: dict[str, Structure] = {}
        for rule in self.ranks:
            matched = match_layers((rule.pattern,), layers, RANK)
            chosen = {
                name: ranks
                for name, layer in splittable.items()
                if name in matched and layer.saves(ranks := rule.ranks(layer))
            }
            if not chosen:
                raise InputError(
                    f"{RANK}{rule.pattern} saves nothing with these ranks in any layer that it "
                    f"matches: {_most(matched, splittable)}"
                )
            found |= chosen
        return {name: found[name] for name in splittable if name in found}

    @property
    def is_static(self) -> bool:
        """Whether some layer may need calibration clips."""
        computes = (self.compute, *self.operators.values(), *(rule.compute for rule in self.rules))
        return "static" in computes

    @property
    def range_label(self) -> str:
        """How plans name the static range, such as ``percentile 99.99``."""
        if self.range == "percentile":
            return f"percentile {self.percentile:g}"
        return self.range


def choices_of(plan: Plan, layers: Sequence[Layer]) -> dict[str, LayerChoice]:
    """What ``plan`` says about each of ``layers``.

    Raises:
        FormatError: the plan is for other layers, or a row of it cannot be.
    """
    rows = {row.name: row for row in plan.layers}
    for layer in layers:
        row = rows.pop(layer.name, None)
        if row is None:
            raise FormatError(f"the plan says nothing about layer {layer.name} of the model")
        if row.op != layer.op or row.shape != layer.shape:
            raise FormatError(
                f"the plan is for another model: its layer {row.name} is a {row.op} of shape "
                f"{list(row.shape)}, the model's a {layer.op} of {list(layer.shape)}"
            )
    if rows:
        raise FormatError(f"the plan is for another model: no layer of it is {next(iter(rows))}")
    return {row.name: _choice_of(row) for row in plan.layers}


def row_of(layer: Layer, choice: LayerChoice, note: str = "") -> LayerPlan:
    """The row of a plan that says what :func:`choices_of` reads back; its bytes are not known.

    Args:
        note: why the choice is not the requested one.
    """
    return LayerPlan(
        name=layer.name,
        op=layer.op,
        shape=layer.shape,
        codec=choice.codec.name,
        bits=choice.codec.bits,
        compute=choice.compute,
        activation_bits=32 if choice.compute == "float32" else choice.activation_bits,
        range=choice.range,
        bytes=0,
        options=choice.codec.options,
        note=note,
    )


def _most(matched: Collection[str], splittable: Mapping[str, Splittable]) -> str:
    """The first of the layers that could be split, with its largest rank."""
    for name, layer in splittable.items():
        if name in matched:
            return f"in {name} ranks up to {layer.largest_rank} do"
    return "none of them is a product by a constant matrix of its own that is large enough"


def _all(matched: Collection[str], paths: Mapping[str, ChannelPath]) -> str:
    """The first of the layers that could make fewer channels, with the number of them."""
    for name, path in paths.items():
        if name in matched:
            return f"{name} makes {path.channels}"
    return "the channels of none of them are read by one layer alone"


def _choice_of(row: LayerPlan) -> LayerChoice:
    try:
        codec = CodecChoice(row.codec, row.bits, row.options)
        activation_bits = 8 if row.activation_bits == 32 else row.activation_bits
        return LayerChoice(row.compute, codec, activation_bits, row.range)
    except InputError as error:
        raise FormatError(f"layer {row.name} of the plan: {error}") from error


def match_layers(patterns: Sequence[str], layers: Sequence[Layer], origin: str = "") -> set[str]:
    """Names of the layers that any pattern picks.

    A pattern is a layer's name (``layer1.conv``), a glob (``layer[2-8].*``), a position
    (``1`` is the first layer, ``-1`` the last) or an operator (``Conv``).

    Args:
        origin: of the patterns, for the message.

    Raises:
        InputError: a pattern picks nothing; the message names it and what there is.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        found = {layer.name for layer in layers if _matches(pattern, layer, len(layers))}
        if not found:
            names = ", ".join(layer.name for layer in layers[:4]) or "none"
            more = f", … ({len(layers)} in all)" if len(layers) > 4 else ""
            raise InputError(
                f"{origin}pattern {pattern!r} matches no layer; give a name, a glob, an operator, "
                f"or a position from 1 to {len(layers)} or -1 to -{len(layers)}; "
                f"layers: {names}{more}"
            )
        chosen |= found
    return chosen


def _matches(pattern: str, layer: Layer, count: int) -> bool:
    if layer.name == pattern or layer.op == pattern:
        return True
    if _INDEX.fullmatch(pattern):
        position = int(pattern)
        return layer.index == (position - 1 if position > 0 else count + position) and position != 0
    return fnmatchcase(layer.name, pattern)
