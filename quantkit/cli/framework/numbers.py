"""A list of whole numbers as one option: ``1,8,16``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    _Numbers = click.ParamType[tuple[int, ...]]
else:
    # Generic to type checkers only, in some of the versions of click that we support.
    _Numbers = click.ParamType


class NumberList(_Numbers):
    """Whole numbers with commas between them; in a settings file, an array of them, too.

    Args:
        minimum: the least that each may be.
        all_is: the number that the word ``all`` stands for; None: the word means nothing.
    """

    name = "N,N,…"
    takes_arrays = True

    def __init__(self, minimum: int, *, all_is: int | None = None) -> None:
        self.minimum = minimum
        self.all_is = all_is

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        try:
            numbers = tuple(map(self._number, self._parts(value)))
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers such as 1,8,16", param, ctx)
        if not numbers or min(numbers) < self.minimum:
            self.fail(f"{value!r} holds a number below {self.minimum}", param, ctx)
        return numbers

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return self.name

    @staticmethod
    def _parts(value: Any) -> Sequence[Any]:
        return value.split(",") if isinstance(value, str) else tuple(value)

    def _number(self, part: Any) -> int:
        if self.all_is is not None and isinstance(part, str) and part.strip() == "all":
            return self.all_is
        return int(part)
