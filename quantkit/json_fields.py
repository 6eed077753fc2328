"""Values of a JSON or TOML file, checked when they are read; errors name file and field."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from quantkit.errors import FormatError

T = TypeVar("T")

# Far more than any document of ours, and few enough for code that walks through one recursively.
_DEEPEST = 100
# Whole numbers end up in arrays and protobufs, which have 64 bits for them.
_WHOLE_LIMIT = 1 << 63
_SHOWN_CHARACTERS = 80


def parse_json(text: str | bytes, where: str, *, finite: bool = True) -> Any:
    """The content of a JSON document.

    >>> parse_json("[1e999]", "x.json")
    Traceback (most recent call last):
    quantkit.errors.FormatError: x.json is not JSON: 1e999 is beyond the range of numbers

    Args:
        where: the file, or the place in it, for messages.
        finite: whether ``NaN`` and ``Infinity``, which Python writes and JSON does not have, are
            refused.

    Raises:
        FormatError: it is not JSON, is nested deeper than any document of ours, or has numbers
            that no computer counts with.
    """
    try:
        content = json.loads(
            text,
            parse_float=_finite_float,
            parse_int=_whole,
            parse_constant=_no_constant if finite else None,
        )
    except RecursionError:
        raise FormatError(f"{where} is not usable: it is nested too deeply") from None
    except ValueError as error:
        raise FormatError(f"{where} is not JSON: {error}") from error
    _require_shallow(content, where)
    return content


def _finite_float(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(f"{text:.20} is beyond the range of numbers")
    return value


def _whole(text: str) -> int:
    # Python reads no more digits than this, and says so with advice for programmers.
    if len(text) > sys.get_int_max_str_digits() > 0:
        raise ValueError(f"a number of {len(text):,} digits is beyond the range of numbers")
    return int(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"it has no number {name}")


def _require_shallow(content: Any, where: str) -> None:
    level = [content]
    for _ in range(_DEEPEST):
        nested: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                nested += [each for each in value.values() if isinstance(each, dict | list)]
            elif isinstance(value, list):
                nested += [each for each in value if isinstance(each, dict | list)]
        if not nested:
            return
        level = nested
    raise FormatError(f"{where} is not usable: it is nested too deeply")


def shown(value: object) -> str:
    """``value`` as Python writes it, cut off where a message would become too long."""
    if isinstance(value, dict | list) and len(value) > _SHOWN_CHARACTERS:
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)} values"
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``; ``above`` and ``below`` leave out the end itself.

    >>> Range(0, 1, below=True).problem_of(1.0)
    'must be at least 0 and below 1'
    >>> Range(1).problem_of(1)
    ''
    """

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def problem_of(self, value: float) -> str:
        """What ``value`` should have been, or nothing when it is within the range."""
        high_enough = value > self.low if self.above else value >= self.low
        low_enough = value < self.high if self.below else value <= self.high
        if high_enough and low_enough:
            return ""
        low = f"{'above' if self.above else 'at least'} {self.low:g}"
        if self.high == math.inf:
            return f"must be {low}"
        return f"must be {low} and {'below' if self.below else 'at most'} {self.high:g}"


class Fields:
    """A JSON object whose fields are read with a check of type and range.

    A field that is null counts as missing.

    Args:
        content: what stands in the file.
        where: the file, and the place in it, for messages.

    Raises:
        FormatError: from every method, where a value is missing or has another type.
    """

    def __init__(self, content: object, where: str) -> None:
        if not isinstance(content, dict):
            raise FormatError(f"{where} must be a table of named values, not {shown(content)}")
        self._content: dict[str, Any] = content
        self.where = where

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self._content.get(key) is not None

    def names(self) -> list[str]:
        """Names of all fields, in their order."""
        return list(self._content)

    def only(self, known: Iterable[str]) -> None:
        """Refuse fields of other names."""
        if unknown := sorted(self._content.keys() - set(known)):
            raise FormatError(f"{self.where}: unknown field {unknown[0]!r}")

    def value(self, key: str) -> Any:
        """Whatever stands there."""
        if not self.has(key):
            raise FormatError(f"{self.where}: {key} is missing")
        return self._content[key]

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        if default is not None and not self.has(key):
            return default
        return text_of(self.value(key), self._named(key))

    def flag(self, key: str, default: bool | None = None) -> bool:
        """A boolean."""
        if default is not None and not self.has(key):
            return default
        return flag_of(self.value(key), self._named(key))

    def choice(self, key: str, choices: Sequence[T]) -> T:
        """One of some values."""
        return choice_of(self.value(key), choices, self._named(key))

    def whole(self, key: str, default: int | None = None, limits: Range | None = None) -> int:
        """A whole number within ``limits``."""
        if default is not None and not self.has(key):
            return default
        return whole_of(self.value(key), self._named(key), limits)

    def number(
        self,
        key: str,
        default: float | None = None,
        limits: Range | None = None,
        *,
        finite: bool = True,
    ) -> float:
        """A number within ``limits``; infinities and NaN only where ``finite`` is not asked for."""
        if default is not None and not self.has(key):
            return default
        return number_of(self.value(key), self._named(key), limits, finite=finite)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        where = self._named(key)
        return tuple(text_of(each, f"{where}[{i}]") for i, each in enumerate(self.items(key)))

    def wholes(self, key: str, limits: Range | None = None) -> tuple[int, ...]:
        """A list of whole numbers."""
        return tuple(
            whole_of(each, f"{self._named(key)}[{i}]", limits)
            for i, each in enumerate(self.items(key))
        )

    def interval(self, key: str, limits: Range | None = None) -> tuple[float, float] | None:
        """A pair ``[low, high]`` of numbers, or None where there is none."""
        if not self.has(key):
            return None
        where, pair = self._named(key), self.items(key)
        if len(pair) != 2:
            raise FormatError(f"{where} must be a pair [low, high], not {shown(pair)}")
        low, high = (number_of(value, where, limits) for value in pair)
        if low > high:
            raise FormatError(f"{where} ends before it begins")
        return low, high

    def child(self, key: str) -> Fields:
        """A nested object."""
        return Fields(self.value(key), self._named(key))

    def items(self, key: str) -> list[Any]:
        """A list of anything."""
        return items_of(self.value(key), self._named(key))

    def children(self, key: str) -> list[Fields]:
        """A list of objects."""
        where = self._named(key)
        return [Fields(item, f"{where}[{i}]") for i, item in enumerate(self.items(key))]

    def numbers(
        self, key: str, limits: Range | None = None, *, finite: bool = True
    ) -> dict[str, float]:
        """An object whose values are numbers."""
        fields = self.child(key)
        return {name: fields.number(name, limits=limits, finite=finite) for name in fields.names()}

    def table(self, key: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        """A nested object as it stands."""
        if default is not None and not self.has(key):
            return default
        return dict(self.child(key)._content)

    def _named(self, key: str) -> str:
        return f"{self.where}: {key}"


def text_of(value: object, where: str) -> str:
    """``value``, if it is a string.

    Raises:
        FormatError: it is not; so do the functions below.
    """
    if not isinstance(value, str):
        raise FormatError(f"{where} must be a string, not {shown(value)}")
    if has_lone_surrogate(value):
        raise FormatError(f"{where} holds half of a character, which no file can")
    return value


def has_lone_surrogate(text: str) -> bool:
    """Whether ``text`` cannot be written in UTF-8. JSON can spell such a thing, as ``\\ud800``."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def flag_of(value: object, where: str) -> bool:
    """``value``, if it is a boolean."""
    if not isinstance(value, bool):
        raise FormatError(f"{where} must be true or false, not {shown(value)}")
    return value


def choice_of(value: object, choices: Sequence[T], where: str) -> T:
    """``value``, if it is one of ``choices``."""
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return choice
    raise FormatError(f"{where} must be one of {', '.join(map(str, choices))}, not {shown(value)}")


def items_of(value: object, where: str) -> list[Any]:
    """``value``, if it is a list."""
    if not isinstance(value, list):
        raise FormatError(f"{where} must be a list, not {shown(value)}")
    return value


def whole_of(value: object, where: str, limits: Range | None = None) -> int:
    """``value``, if it is a whole number within ``limits``.

    A float is none, not even 3.0: where a whole number belongs, it would fail much later.
    """
    # bool is a subclass of int.
    if type(value) is not int:
        raise FormatError(f"{where} must be a whole number, not {shown(value)}")
    if not -_WHOLE_LIMIT <= value < _WHOLE_LIMIT:
        raise FormatError(f"{where} is beyond the range of whole numbers")
    _require_within(value, where, limits)
    return value


def number_of(
    value: object, where: str, limits: Range | None = None, *, finite: bool = True
) -> float:
    """``value`` as a float, if it is a number within ``limits``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormatError(f"{where} must be a number, not {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        raise FormatError(f"{where} is beyond the range of numbers") from None
    if finite and not math.isfinite(number):
        raise FormatError(f"{where} must be a number, not {shown(value)}")
    _require_within(value, where, limits)
    return number


def _require_within(value: float, where: str, limits: Range | None) -> None:
    if limits is not None and (problem := limits.problem_of(value)):
        raise FormatError(f"{where} {problem}, not {shown(value)}")
