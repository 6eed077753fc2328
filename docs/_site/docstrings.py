"""Docstrings as the site reads them: examples and roles of Sphinx become Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:func|class|data|mod|meth|attr|exc|obj):`~?([^`]+)`")
_MARK = re.compile(r"(?<=[^:\s])::$|^::$", re.MULTILINE)
_EXAMPLE = re.compile(r"(?:^(?P<indent> *)>>> .*\n?)(?:^(?P=indent)\S.*\n?)*", re.MULTILINE)


def readable(text: str) -> str:
    """Markdown of a docstring.

    >>> readable("See :func:`~quantkit.api.ship.ship`.")
    'See `ship`.'
    """
    text = _ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2]}`", text)
    text = _MARK.sub(":", text)
    return _EXAMPLE.sub(_fenced, text)


def _fenced(example: re.Match[str]) -> str:
    indent = example["indent"]
    body = example[0].replace("  # doctest: +SKIP", "").rstrip("\n")
    return f"{indent}```pycon\n{body}\n{indent}```\n"


class Readable(griffe.Extension):
    """Every docstring, before it is parsed."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring is not None and not obj.is_alias:
            obj.docstring.value = readable(obj.docstring.value)
