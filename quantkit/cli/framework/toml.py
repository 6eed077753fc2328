"""Settings as TOML: what ``tomllib`` reads back as the same values."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from quantkit.errors import InputError


def toml_value(value: Any) -> str:
    """A string, path, number, truth value or sequence of these as TOML.

    Raises:
        InputError: a path whose bytes are no text; TOML cannot hold it.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str | PurePath):
        return _string(str(value))
    if isinstance(value, Sequence):
        return f"[{', '.join(map(toml_value, value))}]"
    raise TypeError(f"no TOML for {value!r}")


def _float(value: float) -> str:
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    # Python writes nan as TOML does.
    return repr(value)


def _string(text: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(f"{text!a} is no text, which a settings file could hold")
    # JSON's escapes are TOML's, and JSON leaves DEL as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
