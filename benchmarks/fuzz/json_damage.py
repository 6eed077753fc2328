"""Changes to JSON documents that know their structure."""

from __future__ import annotations

import contextlib
import copy
import json
from random import Random
from typing import Any

from benchmarks.fuzz.damage import ODD_NUMBERS, ODD_TEXTS, damaged

_DEPTHS = (50, 99, 101, 2_000, 100_000)


def changed_json(text: str, random: Random) -> bytes:
    """A document with one to three changes, in half of the cases still JSON of the same shape."""
    document = json.loads(text)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        document = _change(document, random)
    spelled = json.dumps(
        document,
        ensure_ascii=random.random() < 0.5,
        indent=random.choice((None, 2)),
    )
    way = random.random()
    if way < 0.75:
        return spelled.encode("utf-8", "surrogatepass")
    return random.choice(_SPELLINGS)(spelled, random)


def same_json(text: str, random: Random) -> bytes:
    """The same values, spelled differently."""
    document = _shuffled(json.loads(text), random) if random.random() < 0.5 else json.loads(text)
    separators = random.choice(((",", ":"), (", ", ": "), ("\n , \t", "\r\n:  ")))
    spelled = json.dumps(
        document,
        ensure_ascii=random.random() < 0.5,
        indent=random.choice((None, 0, 1, "\t")),
        separators=separators,
    )
    spaces = random.choice(("", " ", "\n", "\r\n\t "))
    return f"{spaces}{spelled}{spaces}".encode()


def _shuffled(value: Any, random: Random) -> Any:
    """With the keys of all objects in another order."""
    if isinstance(value, dict):
        keys = random.sample(list(value), len(value))
        return {key: _shuffled(value[key], random) for key in keys}
    if isinstance(value, list):
        return [_shuffled(each, random) for each in value]
    return value


def disagreement(said: Any, written: Any, place: str = "") -> str:
    """Where ``written``, what was read and written again, differs from what a document said.

    What the document does not say, or says with null, is free. Empty where there is nothing.
    """
    if said is None:
        return ""
    if isinstance(written, dict) and isinstance(said, dict):
        both = (key for key in written if key in said)
        found = (disagreement(said[key], written[key], f"{place}.{key}") for key in both)
        return next(filter(None, found), "")
    if isinstance(written, list) and isinstance(said, list):
        if len(written) != len(said):
            return f"{place} has {len(written)} values instead of {len(said)}"
        found = (
            disagreement(a, b, f"{place}[{i}]")
            for i, (a, b) in enumerate(zip(said, written, strict=True))
        )
        return next(filter(None, found), "")
    return "" if _same(said, written) else f"{place} is {written!r} instead of {said!r}"[:300]


def _same(said: Any, written: Any) -> bool:
    if isinstance(said, bool) or isinstance(written, bool):
        return said is written
    if isinstance(said, int | float) and isinstance(written, int | float):
        # A whole number where any number may stand is read as a float.
        with contextlib.suppress(OverflowError):
            said, written = float(said), float(written)
        return bool(said == written or (said != said and written != written))
    return bool(said == written)


def _change(document: Any, random: Random) -> Any:
    """One change at a random place."""
    document = copy.deepcopy(document)
    holders = [document] if isinstance(document, dict | list) else []
    for holder in holders:
        inner = holder.values() if isinstance(holder, dict) else holder
        holders += [each for each in inner if isinstance(each, dict | list)][:50]
    holders = [holder for holder in holders if holder]
    if not holders or random.random() < 0.02:
        return _odd_value(document, random)
    # Shallow places decide more; deep ones are far more of them.
    holder = random.choice(holders[: random.choice((1, 4, len(holders)))])
    key = random.choice([*holder] if isinstance(holder, dict) else range(len(holder)))
    way = random.random()
    if way < 0.6:
        holder[key] = _odd_value(holder[key], random)
    elif way < 0.75:
        del holder[key]
    elif way < 0.85:
        other = random.choice(holders)
        holder[key] = copy.deepcopy(
            random.choice([*other.values()] if isinstance(other, dict) else other)
        )
    elif isinstance(holder, dict):
        new = random.choice((*ODD_TEXTS, str(key).upper(), f"{key} "))
        holder[new] = holder.pop(key) if way < 0.92 else _odd_value(holder[key], random)
    elif way < 0.95:
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        random.shuffle(holder)
    return document


def _odd_value(value: Any, random: Random) -> Any:
    way = random.random()
    if isinstance(value, bool | None) or way < 0.25:
        kinds: tuple[Any, ...] = (None, True, False, 0, 1, "", "true", [], {}, [[]], {"": None})
        return random.choice(kinds)
    if isinstance(value, int | float) and way < 0.9:
        near: tuple[Any, ...] = (
            value + 1,
            value - 1,
            -value,
            value * 2,
            value / 2,
            float(value),
            str(value),
        )
        return random.choice((*near, *ODD_NUMBERS, *ODD_NUMBERS))
    if isinstance(value, str) and way < 0.9:
        near = (value.upper(), f" {value}", value[:-1], value * 2, value + "/2", [value])
        return random.choice((*near, *ODD_TEXTS))
    if isinstance(value, list) and way < 0.9:
        return random.choice(
            ([], value[:1], value[::-1], value * 2, value * 50, [value], *value[:1])
        )
    return random.choice((*ODD_NUMBERS, *ODD_TEXTS, [value], {"": value}))


def _deep(spelled: str, random: Random) -> bytes:
    depth = random.choice(_DEPTHS)
    opening, closing = random.choice((("[", "]"), ('{"a":', "}")))
    deep = opening * depth + "1" + closing * depth
    start = spelled.find(":") + 1
    if random.random() < 0.5 or not start:
        return deep.encode()
    end = min(i for i in (spelled.find(",", start), len(spelled) - 1) if i > 0)
    return (spelled[:start] + deep + spelled[end:]).encode("utf-8", "surrogatepass")


def _repeated_key(spelled: str, random: Random) -> bytes:
    start = spelled.find('"')
    end = spelled.find(":", start)
    if start < 0 or end < 0:
        return spelled.encode("utf-8", "surrogatepass")
    twice = f"{spelled[start:end]}: {random.choice(('null', '1', '[]'))}, "
    return (spelled[:start] + twice + spelled[start:]).encode("utf-8", "surrogatepass")


def _huge_number(spelled: str, random: Random) -> bytes:
    places = [
        i
        for i, c in enumerate(spelled)
        if c == ":" and spelled[i + 1 : i + 3].strip()[:1].isdigit()
    ]
    number = random.choice(
        ("1e999", "-1e999", "9" * 5_000, "0." + "1" * 5_000, "1E400", "00", "0x1")
    )
    if places:
        start = random.choice(places) + 1
        rest = spelled[start:].lstrip(" 0123456789.eE+-")
        spelled = spelled[:start] + number + rest
    return spelled.encode("utf-8", "surrogatepass")


def _other_encoding(spelled: str, random: Random) -> bytes:
    encoding = random.choice(("utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252"))
    return spelled.encode(encoding, "replace")


def _broken(spelled: str, random: Random) -> bytes:
    return damaged(spelled.encode("utf-8", "surrogatepass"), random)


_SPELLINGS = (_broken, _broken, _deep, _repeated_key, _huge_number, _other_encoding)
