"""Codecs whose levels no weight changes: only scales, and the choice of each group, are found."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from quantkit.codecs.lookup import TableArray


@runtime_checkable
class FixedLevels(Protocol):
    """A codec of such levels; it keeps given scales (:class:`~quantkit.codecs.base.Weight`)."""

    def tables_within(self, largest_level: int | None) -> TableArray:
        """(tables, levels) int8, each ascending.

        Args:
            largest_level: no level is further from zero; None: as far as they go.
        """

    @property
    def weights_per_table(self) -> int | None:
        """Consecutive weights of a channel that share a table; None: the whole channel."""
