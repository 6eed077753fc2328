"""Ways to decide which layer gets how many bits: one file per method.

A method is a dataclass that fulfils :class:`~quantkit.planning.methods.base.Method`; one more
needs a file here and a line in the list below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from quantkit.errors import InputError
from quantkit.planning.methods.base import Method, PlanRequest
from quantkit.planning.methods.linear import Linear
from quantkit.planning.methods.myqasr import MyQasr
from quantkit.planning.methods.reversed import Reversed
from quantkit.planning.methods.shuffled import Shuffled
from quantkit.planning.methods.uniform import Uniform

__all__ = ["METHODS", "Method", "PlanRequest", "method_named", "options_of"]

# The simplest first.
_ALL: tuple[type[Method], ...] = (Uniform, Shuffled, Reversed, Linear, MyQasr)

#: Every method by name.
METHODS: Mapping[str, type[Method]] = MappingProxyType({method.name: method for method in _ALL})


def method_named(name: str, **options: Any) -> Method:
    """The method called ``name`` with its options.

    >>> method_named("myqasr", direction="descending").metric
    'median'

    Raises:
        InputError: there is none, or it has no such option.
    """
    known = options_of(name)
    if unknown := sorted(options.keys() - known):
        raise InputError(f"method {name} has no option {unknown[0]!r}")
    return METHODS[name](**options)


def options_of(name: str) -> frozenset[str]:
    """Names of the options of the method called ``name``.

    Raises:
        InputError: there is none.
    """
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}; choose one of {', '.join(METHODS)}")
    return frozenset(field.name for field in fields(METHODS[name]))  # type: ignore[arg-type]
