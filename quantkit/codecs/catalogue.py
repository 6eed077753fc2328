"""Codecs by name: what plans and command lines write becomes a codec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from types import MappingProxyType

from quantkit.codecs.base import Codec
from quantkit.codecs.bitplane import Bitplane
from quantkit.codecs.blocks import Blocks
from quantkit.codecs.codebook import Codebook, Ternary
from quantkit.codecs.grouped import Grouped
from quantkit.codecs.native import Native
from quantkit.codecs.plain import Float16, Float32, Int8, Int16
from quantkit.codecs.sparse import Sparse
from quantkit.codecs.tiered import Tiered
from quantkit.errors import InputError

#: Codecs that take a number of bits, and how each is made of it and its options.
_SIZED: Mapping[str, Callable[..., Codec]] = MappingProxyType(
    {
        "bitplane": Bitplane,
        "native": Native,
        "codebook": Codebook,
        "grouped": Grouped,
        "sparse": Sparse,
        "tiered": Tiered,
        "blocks": Blocks,
    }
)
#: Codecs with one width only.
_FIXED: Mapping[str, Callable[..., Codec]] = MappingProxyType(
    {"float32": Float32, "float16": Float16, "int16": Int16, "int8": Int8, "ternary": Ternary}
)

#: Every name that a plan may use.
NAMES = (*_FIXED, *_SIZED)


@dataclass(frozen=True)
class CodecChoice:
    """A codec as plans and people name it.

    >>> str(CodecChoice.parse("grouped:3,group_size=16"))
    'grouped:3,group_size=16'

    Args:
        name: one of :data:`NAMES`.
        bits: per weight; what the name implies where it has one width only.
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
        if name in _FIXED:
            bits = _FIXED[name]().bits
            if width and width != f"{bits:g}":
                raise InputError(f"codec {text!r}: {name} always has {bits:g} bits")
        elif width.isdecimal():
            bits = int(width)
        elif name in _SIZED:
            raise InputError(f"codec {text!r}: say how many bits, such as {name}:4")
        else:
            raise InputError(f"unknown codec {name!r}; choose one of {', '.join(NAMES)}")
        return cls(name, bits, options)

    def __str__(self) -> str:
        width = f":{self.bits:g}" if self.name in _SIZED else ""
        return self.name + width + "".join(f",{k}={v}" for k, v in sorted(self.options.items()))

    @property
    def is_float(self) -> bool:
        """Whether the weight stays a float one, whose kernel is float too."""
        return self.name in ("float32", "float16")

    @property
    def has_one_width(self) -> bool:
        """Whether :attr:`bits` are those of each weight, not only of the rest."""
        return self.name != "tiered"

    def make(self) -> Codec:
        """The codec itself.

        Raises:
            InputError: it does not take these bits or options.
        """
        if self.name in _SIZED:
            if not float(self.bits).is_integer():
                raise InputError(f"codec {self.name} has whole bits, not {self.bits:g}")
            self._check_options(_SIZED[self.name])
            return _SIZED[self.name](int(self.bits), **self.options)
        if self.name in _FIXED:
            self._check_options(_FIXED[self.name])
            codec = _FIXED[self.name](**self.options)
            if codec.bits != self.bits:
                raise InputError(f"codec {self.name} always has {codec.bits:g} bits")
            return codec
        raise InputError(f"unknown codec {self.name!r}; choose one of {', '.join(NAMES)}")

    def _check_options(self, kind: Callable[..., Codec]) -> None:
        known = {name: setting.annotation for name, setting in signature(kind).parameters.items()}
        known.pop("bits", None)
        for option, value in self.options.items():
            if option not in known:
                instead = f"; choose of {', '.join(known)}" if known else ""
                raise InputError(f"codec {self.name} has no option {option!r}{instead}")
            if str(known[option]).startswith("int") and not isinstance(value, int):
                raise InputError(
                    f"codec {self.name}: {option} must be a whole number, not {value!r}"
                )


#: What float layers and plain integer layers are stored as.
FLOAT32 = CodecChoice("float32", 32)
INT8 = CodecChoice("int8", 8)
#: What layers of compute matmul-nbits are stored as.
BLOCKS = CodecChoice("blocks", 4)
