"""From a JSON object or a TOML table to a dataclass, every value checked against its field."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from quantkit.errors import FormatError
from quantkit.json_fields import (
    Fields,
    Range,
    choice_of,
    flag_of,
    items_of,
    number_of,
    shown,
    text_of,
    whole_of,
)

T = TypeVar("T")


def build(
    cls: type[T],
    table: object,
    where: str,
    ranges: Mapping[str, Range] = types.MappingProxyType({}),
    *,
    others: Range | None = None,
    ignore_unknown: bool = False,
) -> T:
    """An instance of the dataclass ``cls`` from ``table``.

    A field may be a string, a boolean, a number, a choice (``Literal``), another dataclass, one of
    these or None, a tuple of these (from a list), or a dictionary of them by name. Values that are
    instances of a field's dataclass already are taken as they are.

    Args:
        where: file and table, for messages.
        ranges: of numeric fields, by name, those of inner dataclasses included; of the values where
            the field is a list or a table.
        others: of every numeric field that ``ranges`` does not name.
        ignore_unknown: whether a table may hold more than the dataclass has fields.

    Raises:
        FormatError: no table, an unknown or missing field, a wrong type, or out of range.
    """
    rules = _Rules(ranges, others, ignore_unknown)
    content = Fields(table, where)
    known = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(content.names()) - known.keys())
    if unknown and not ignore_unknown:
        raise FormatError(f"{where}: unknown setting {', '.join(unknown)}")
    hints = get_type_hints(cls)
    values = {}
    for name, field in known.items():
        if name in content.names():
            hint, limits = hints[name], ranges.get(name, others)
            found = content.value(name) if content.has(name) else None
            values[name] = _checked(found, hint, f"{where}: {name}", limits, rules)
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise FormatError(f"{where}: {name} is missing")
    return cls(**values)


def build_list(
    cls: type[T], tables: object, name: str, where: str, ranges: Mapping[str, Range]
) -> tuple[T, ...]:
    """An instance of the dataclass ``cls`` from every table of the list ``[[name]]``.

    Raises:
        FormatError: no list, or as :func:`build`.
    """
    if not isinstance(tables, list):
        raise FormatError(f"{where}: {name} must be a list of tables, [[{name}]]")
    return tuple(
        build(cls, table, f"{where}, [[{name}]] {i}", ranges) for i, table in enumerate(tables, 1)
    )


@dataclasses.dataclass(frozen=True)
class _Rules:
    """What holds for inner dataclasses, too: see :func:`build`."""

    ranges: Mapping[str, Range]
    others: Range | None
    ignore_unknown: bool


def _checked(value: Any, hint: Any, where: str, limits: Range | None, rules: _Rules) -> Any:
    """``value`` as an instance of the annotation ``hint``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if dataclasses.is_dataclass(type(value)) and isinstance(value, arguments):
            return value
        # Of unions, the fields that files hold have only "or None".
        inner = next(each for each in arguments if each is not types.NoneType)
        return None if value is None else _checked(value, inner, where, limits, rules)
    if origin is Literal:
        return choice_of(value, arguments, where)
    if origin is dict:
        return {
            name: _checked(each, arguments[1], f"{where}.{name}", limits, rules)
            for name, each in _table(value, where).items()
        }
    if origin is tuple:
        items = value if isinstance(value, tuple) else items_of(value, where)
        kinds = [arguments[0]] * len(items) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(items):
            raise FormatError(f"{where} must hold {len(kinds)} values, not {len(items)}")
        return tuple(
            _checked(item, kind, f"{where}[{i}]", limits, rules)
            for i, (kind, item) in enumerate(zip(kinds, items, strict=True))
        )
    if dataclasses.is_dataclass(hint):
        if isinstance(value, hint):  # type: ignore[arg-type]
            return value
        ranges, others, ignored = rules.ranges, rules.others, rules.ignore_unknown
        return build(hint, value, where, ranges, others=others, ignore_unknown=ignored)  # type: ignore[arg-type]
    if hint is int:
        return whole_of(value, where, limits)
    if hint is float:
        return number_of(value, where, limits)
    return flag_of(value, where) if hint is bool else text_of(value, where)


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormatError(f"{where} must be a table, not {shown(value)}")
    return value
