"""Criteria and tolerances of a gate, as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from quantkit.benchmarking.baseline import CRITERIA, Tolerance
from quantkit.errors import InputError
from quantkit.slices.by import parse_by

# What people call them, beside the names in a baseline.json.
_OTHER_NAMES = {"edits": "levenshtein", "size": "size_bytes", "speed": "speedup"}
#: Names of criteria, as messages and the help text list them.
CRITERION_NAMES = tuple(
    next((short for short, name in _OTHER_NAMES.items() if name == each), each) for each in CRITERIA
)
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_TOLERANCE = re.compile(rf"(?:{_NUMBER}\s*%)?\s*\+?\s*{_NUMBER}?")


def parse_criteria(text: str) -> tuple[str, ...]:
    """Names with commas between them.

    >>> parse_criteria("wer,size")
    ('wer', 'size_bytes')

    Raises:
        InputError: an unknown one.
    """
    return tuple(dict.fromkeys(_criterion(name) for name in text.split(",")))


def parse_tolerances(texts: Iterable[str]) -> dict[str, Tolerance]:
    """Tolerances by criterion.

    >>> parse_tolerances(["edits=2%+0.02", "size=0.5%"])["levenshtein"]
    Tolerance(relative=0.02, absolute=0.02)

    Args:
        texts: ``CRITERION=SHARE``, ``CRITERION=AMOUNT`` or ``CRITERION=SHARE+AMOUNT``.

    Raises:
        InputError: something else.
    """
    found = {}
    for text in texts:
        name, equals, amount = text.partition("=")
        if not equals:
            raise InputError(f"a tolerance is CRITERION=SHARE, such as edits=2%, not {text!r}")
        found[_criterion(name)] = _tolerance(amount, text)
    return found


def parse_slice_tolerances(texts: Iterable[str]) -> dict[str, Tolerance]:
    """Tolerances by the name of a slice or of a property; without a name, of every slice.

    >>> list(parse_slice_tolerances(["5%", "language=10%", "language:de=20%+0.1"]))
    ['*', 'language', 'language:de']

    Args:
        texts: ``SHARE``, ``PROPERTY=SHARE`` or ``PROPERTY:VALUE=SHARE``.

    Raises:
        InputError: something else.
    """
    found = {}
    for text in texts:
        name, equals, amount = text.rpartition("=")
        by, colon, value = name.partition(":")
        key = "*"
        if equals:
            # Other names of properties mean the same here as where clips are divided.
            key = f"{parse_by(by)[0].name}{colon and ':'}{value.strip()}"
        found[key] = _tolerance(amount, text)
    return found


def _criterion(name: str) -> str:
    stripped = name.strip().lower()
    criterion = _OTHER_NAMES.get(stripped, stripped)
    if criterion not in CRITERIA:
        raise InputError(f"{name.strip()!r} is not a criterion; use {', '.join(CRITERION_NAMES)}")
    return criterion


def _tolerance(amount: str, text: str) -> Tolerance:
    found = _TOLERANCE.fullmatch(amount.strip())
    if found is None or not any(found.groups()):
        raise InputError(f"{text!r}: a tolerance is a share such as 5%, an amount, or 5%+0.02")
    share, absolute = (float(each) if each else 0.0 for each in found.groups())
    if not math.isfinite(share + absolute):
        raise InputError(f"{text!r}: a tolerance must be finite")
    return Tolerance(share / 100.0, absolute)
