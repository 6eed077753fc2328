"""Codecs by name: what plans and command lines write becomes a codec."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from types import MappingProxyType
from typing import TypeGuard

from quantkit.codecs.base import Codec
from quantkit.codecs.binary import Binary
from quantkit.codecs.bitplane import Bitplane
from quantkit.codecs.blocks import Blocks
from quantkit.codecs.codebook import Codebook, Ternary
from quantkit.codecs.grouped import Grouped
from quantkit.codecs.native import Native
from quantkit.codecs.plain import Float16, Float32, Int8, Int16
from quantkit.codecs.powers import Powers
from quantkit.codecs.rice import Rice
from quantkit.codecs.sparse import Sparse
from quantkit.codecs.tiered import Tiered
from quantkit.errors import InputError
from quantkit.plugins import Plugin, PluginGroup

#: Codecs that take a number of bits, and how each is made of it and its options.
_SIZED: Mapping[str, Callable[..., Codec]] = MappingProxyType(
    {
        "bitplane": Bitplane,
        "native": Native,
        "codebook": Codebook,
        "grouped": Grouped,
        "powers": Powers,
        "rice": Rice,
        "sparse": Sparse,
        "tiered": Tiered,
        "blocks": Blocks,
    }
)
#: Codecs with one width only.
_FIXED: Mapping[str, Callable[..., Codec]] = MappingProxyType(
    {
        "float32": Float32,
        "float16": Float16,
        "int16": Int16,
        "int8": Int8,
        "ternary": Ternary,
        "binary": Binary,
    }
)

#: Of those that take bits, the ones that take any number of them.
_FRACTIONAL = frozenset({"rice"})
_FRACTION = re.compile(r"\d+\.\d{1,2}")

#: Every name that a plan may use without a package that adds one; see :func:`codec_names`.
NAMES = (*_FIXED, *_SIZED)

CodecMaker = Callable[..., Codec]


def _is_maker(value: object) -> TypeGuard[CodecMaker]:
    try:
        signature(value)  # type: ignore[arg-type]
    # Not callable, or written in C and silent about what it takes.
    except (TypeError, ValueError):
        return False
    return True


#: A class whose instances are codecs, or a function that makes one. Where it has a parameter
#: ``bits``, the codec's name is followed by a number of bits; its other parameters are options.
PLUGINS = PluginGroup[CodecMaker](
    "quantkit.codecs", "codec", "a class or a function that makes a codec", _is_maker, NAMES
)


def codec_names() -> tuple[str, ...]:
    """Every name that a plan may use: :data:`NAMES`, then what installed packages add."""
    return (*NAMES, *PLUGINS.names())


@dataclass(frozen=True)
class CodecChoice:
    """A codec as plans and people name it.

    >>> str(CodecChoice.parse("grouped:3,group_size=16"))
    'grouped:3,group_size=16'

    Args:
        name: one of :func:`codec_names`.
        bits: per weight, two digits behind the point where the codec takes any; what the name
            implies where it has one width only.
        options: further settings of the codec.

    Raises:
        InputError: no such codec, or it does not take these bits or options.
    """

    name: str
    bits: float
    options: Mapping[str, int | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.make()

    @classmethod
    def parse(cls, text: str) -> CodecChoice:
        """Read ``name``, ``name:bits`` or ``name:bits,option=value,…``.

        Raises:
            InputError: the text says none of these, or see above.
        """
        head, *settings = text.strip().split(",")
        name, _, width = head.partition(":")
        options: dict[str, int | str] = {}
        for setting in settings:
            key, equals, value = setting.partition("=")
            if not (key and equals and value):
                raise InputError(f"codec {text!r}: {setting!r} is not option=value")
            options[key.strip()] = int(value) if value.strip().isdecimal() else value.strip()
        if not _is_sized(name):
            bits = _made(name, {}).bits
            if width and width != f"{bits:g}":
                raise InputError(f"codec {text!r}: {name} always has {bits:g} bits")
        elif width.isdecimal():
            bits = int(width)
        elif name in _FRACTIONAL and _FRACTION.fullmatch(width):
            bits = float(width)
        else:
            raise InputError(f"codec {text!r}: say how many bits, such as {name}:4")
        return cls(name, bits, options)

    def __str__(self) -> str:
        width = f":{self.bits:g}" if _is_sized(self.name) else ""
        return self.name + width + "".join(f",{k}={v}" for k, v in sorted(self.options.items()))

    @property
    def is_float(self) -> bool:
        """Whether the weight stays a float one, whose kernel is float too."""
        return self.name in ("float32", "float16")

    @property
    def takes_any_bits(self) -> bool:
        """Whether its :attr:`bits` need not be a whole number."""
        return self.name in _FRACTIONAL

    @property
    def has_one_width(self) -> bool:
        """Whether :attr:`bits` are those of each weight, not only of the rest."""
        return self.name != "tiered"

    def make(self) -> Codec:
        """The codec itself.

        Raises:
            InputError: it does not take these bits or options.
        """
        _check_options(self.name, self.options)
        if self.name in _FRACTIONAL:
            if round(self.bits, 2) != self.bits:
                raise InputError(f"codec {self.name} takes at most two digits behind the point")
            return _made(self.name, self.options, self.bits)
        if _is_sized(self.name):
            if not float(self.bits).is_integer():
                raise InputError(f"codec {self.name} has whole bits, not {self.bits:g}")
            return _made(self.name, self.options, int(self.bits))
        codec = _made(self.name, self.options)
        if codec.bits != self.bits:
            raise InputError(f"codec {self.name} always has {codec.bits:g} bits")
        return codec


def _is_sized(name: str) -> bool:
    """Whether the codec takes a number of bits."""
    if name in NAMES:
        return name in _SIZED
    return "bits" in signature(_plugin(name).value).parameters


def _maker(name: str) -> CodecMaker:
    return _SIZED.get(name) or _FIXED.get(name) or _plugin(name).value


def _plugin(name: str) -> Plugin[CodecMaker]:
    if plugin := PLUGINS.find(name):
        return plugin
    raise InputError(f"unknown codec {name!r}; choose one of {', '.join(codec_names())}")


def _made(name: str, options: Mapping[str, int | str], *bits: float) -> Codec:
    if name in NAMES:
        return _maker(name)(*bits, **options)
    plugin = _plugin(name)
    origin = f"codec {name!r} of package {plugin.package}"
    try:
        codec = plugin.value(*bits, **options)
        own_name = codec.name
    except InputError:
        raise
    # What the code of another package runs into is not specified.
    except Exception as error:
        raise InputError(f"{origin} cannot be made: {type(error).__name__}: {error}") from error
    if own_name != name:
        raise InputError(f"{origin} calls itself {own_name!r}")
    return codec


def _check_options(name: str, options: Mapping[str, int | str]) -> None:
    kind = _maker(name)
    known = {key: setting.annotation for key, setting in signature(kind).parameters.items()}
    known.pop("bits", None)
    for option, value in options.items():
        if option not in known:
            instead = f"; choose of {', '.join(known)}" if known else ""
            raise InputError(f"codec {name} has no option {option!r}{instead}")
        annotation = getattr(known[option], "__name__", str(known[option]))
        if annotation.startswith("int") and not isinstance(value, int):
            raise InputError(f"codec {name}: {option} must be a whole number, not {value!r}")


#: What float layers and plain integer layers are stored as.
FLOAT32 = CodecChoice("float32", 32)
INT8 = CodecChoice("int8", 8)
#: What layers of compute matmul-nbits are stored as.
BLOCKS = CodecChoice("blocks", 4)
