"""From a TOML table to a dataclass, every value checked against its field's type and range."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from quantkit.errors import InputError

T = TypeVar("T")


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


def build(cls: type[T], table: object, where: str, ranges: Mapping[str, Range]) -> T:
    """An instance of the dataclass ``cls`` from ``table``.

    Whole numbers, numbers, strings, choices (``Literal``), lists of strings or of whole numbers
    and tables with such values are checked; fields of other types take what is given.

    Args:
        where: file and table, for messages.
        ranges: of numeric fields, by name; of the values where the field is a list or a table.

    Raises:
        InputError: no table, an unknown or missing setting, a wrong type, or out of range.
    """
    if not isinstance(table, dict):
        raise InputError(f"{where} must be a table of settings, not {table!r}")
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(set(table) - set(known)):
        raise InputError(f"{where}: unknown setting {', '.join(unknown)}")
    for name, field in known.items():
        missing = dataclasses.MISSING
        if name not in table and field.default is missing and field.default_factory is missing:
            raise InputError(f"{where}: {name} is missing")
    hints = get_type_hints(cls)
    return cls(
        **{
            name: _checked(value, hints[name], f"{where}: {name}", ranges.get(name))
            for name, value in table.items()
        }
    )


def build_list(
    cls: type[T], tables: object, name: str, where: str, ranges: Mapping[str, Range]
) -> tuple[T, ...]:
    """An instance of the dataclass ``cls`` from every table of the list ``[[name]]``.

    Raises:
        InputError: no list, or as :func:`build`.
    """
    if not isinstance(tables, list):
        raise InputError(f"{where}: {name} must be a list of tables, [[{name}]]")
    return tuple(
        build(cls, table, f"{where}, [[{name}]] {i}", ranges) for i, table in enumerate(tables, 1)
    )


def _checked(value: Any, hint: Any, setting: str, limits: Range | None) -> Any:
    origin = get_origin(hint)
    if origin is Literal:
        if value not in get_args(hint):
            choices = ", ".join(get_args(hint))
            raise InputError(f"{setting} must be one of {choices}, not {value!r}")
        return value
    if origin is dict:
        if not isinstance(value, dict):
            raise InputError(f"{setting} must be a table, not {value!r}")
        kind = get_args(hint)[1]
        return {k: _checked(v, kind, f"{setting}.{k}", limits) for k, v in value.items()}
    if hint == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InputError(f"{setting} must be a list of strings, not {value!r}")
        return tuple(value)
    if hint == tuple[int, ...]:
        if not isinstance(value, list):
            raise InputError(f"{setting} must be a list of whole numbers, not {value!r}")
        return tuple(_number(item, int, setting, limits) for item in value)
    if hint in (int, float):
        return _number(value, hint, setting, limits)
    # TOML knows no other type that a setting could have.
    names = {str: "a string", bool: "true or false"}
    if hint in names and type(value) is not hint:
        raise InputError(f"{setting} must be {names[hint]}, not {value!r}")
    return value


def _number(value: Any, kind: type, setting: str, limits: Range | None) -> float:
    # bool is a subclass of int; a float where a whole number belongs would fail much later.
    whole = type(value) is int
    if kind is int and not whole:
        raise InputError(f"{setting} must be a whole number, not {value!r}")
    if not whole and not (type(value) is float and math.isfinite(value)):
        raise InputError(f"{setting} must be a number, not {value!r}")
    if limits is not None and (problem := limits.problem_of(value)):
        raise InputError(f"{setting} {problem}, not {value!r}")
    if kind is int:
        return int(value)
    try:
        return float(value)
    except OverflowError:
        raise InputError(f"{setting} is beyond the range of numbers") from None
