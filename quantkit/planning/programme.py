"""One option for every layer: the least divergence within a budget, as an integer programme.

The multiple-choice knapsack problem (H. Kellerer, U. Pferschy and D. Pisinger, "Knapsack Problems",
Springer 2004, chapter 11): with x[l, c] = 1 where layer l takes option c,

    minimise    Σ d[l, c] · x[l, c]
    subject to  Σ_c x[l, c] = 1                                for every layer l
                Σ b[l, c] · x[l, c] + Σ_t B[t] · y[t] ≤ budget
                y[t] ≥ Σ_c uses(c, t) · x[l, c]                for every table t and layer l
                Σ m[l, c] · x[l, c] ≤ limit                    where latency is limited
                Σ_c codec(c, k) · (x[l, c] − x[l', c]) = 0     for layers l, l' with one weight

with divergences d, bytes b of the layers and B of tables that decoders share, and milliseconds m.
HiGHS (Q. Huangfu and J. Hall, "Parallelizing the dual revised simplex method", Mathematical
Programming Computation 10, 2018) solves it by branch and cut, to the optimum and deterministically.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from quantkit.graph.plan import Structure
from quantkit.planning.size_model import choice_label
from quantkit.planning.suppress_stdout import suppress_stdout
from quantkit.quantization.choices.settings import LayerChoice

FloatArray = npt.NDArray[np.float64]
Objective = Literal["divergence", "bytes", "milliseconds"]
Groups = Sequence[tuple[str, ...]]

#: HiGHS stops within 1e-6 of the optimum in absolute terms, so the objective is scaled to this.
_OBJECTIVE = 1e4
#: Relative gap to the optimum that is accepted instead of minutes of branching.
_RELATIVE_GAP = 1e-7
_ROUGH_GAP = 1e-2
_SECONDS = 60.0
_MB = 1e6


@dataclass(frozen=True)
class Option:
    """A candidate of a layer, with its costs.

    Args:
        choice: storage, compute and activation bits.
        divergence: of the posteriors, in nats per frame.
        bytes: of the layer itself; see :meth:`~quantkit.planning.size_model.SizeModel.bytes_of`.
        tables: bytes of shared tables, by name.
        milliseconds: of the layer in a run; 0 if not timed.
        structure: of the layer as a whole; its parts all have ``choice``. None for one layer of
            all channels.
        reads: channels that it reads, as the layer that makes them makes no others; 0 for all.
        is_gone: whether there is no such layer, as the one that needs it makes its mean alone.
    """

    choice: LayerChoice
    divergence: float
    bytes: int
    tables: Mapping[str, int] = field(default_factory=dict)
    milliseconds: float = 0.0
    structure: Structure | None = None
    reads: int = 0
    is_gone: bool = False

    @property
    def is_mean(self) -> bool:
        """Whether the layer makes its mean alone."""
        return self.structure is not None and self.structure.mean

    @property
    def makes(self) -> int:
        """Channels that the layer makes; 0 for all."""
        return 0 if self.structure is None else self.structure.channels

    @property
    def _bound(self) -> tuple[int, int, bool, bool]:
        """What other layers have to fit."""
        return self.makes, self.reads, self.is_mean, self.is_gone

    def dominates(self, other: Option) -> bool:
        """Whether it is as good as ``other`` in every respect, where all others can stay."""
        return (
            self._bound == other._bound
            and self.divergence <= other.divergence
            and self.bytes <= other.bytes
            and self.milliseconds <= other.milliseconds
            and self.tables.keys() <= other.tables.keys()
        )


@dataclass(frozen=True)
class Solution:
    """The chosen options by layer, and their totals."""

    options: Mapping[str, Option]

    @property
    def choices(self) -> dict[str, LayerChoice]:
        """The choice of each layer."""
        return {name: option.choice for name, option in self.options.items()}

    @property
    def divergence(self) -> float:
        """In nats per frame, as if layers did not interact."""
        return sum(option.divergence for option in self.options.values())

    @property
    def bytes(self) -> int:
        """Of all layers and shared tables."""
        tables: dict[str, int] = {}
        for option in self.options.values():
            tables |= option.tables
        return sum(each.bytes for each in self.options.values()) + sum(tables.values())

    @property
    def milliseconds(self) -> float:
        """Of all layers in a run."""
        return sum(option.milliseconds for option in self.options.values())


class Programme:
    """The choice between ``options`` of every layer.

    Args:
        options: by layer; at least one each.
        ties: groups of layers with tied weights, which must have the same codec. All layers of a
            group have options with the same codecs.
        readers: the layer that alone reads the channels of another, by the name of that one: it
            reads what the other makes.
        needed_by: the layer that alone needs another, by the name of that one: it goes where the
            other makes its mean alone.
    """

    def __init__(
        self,
        options: Mapping[str, Sequence[Option]],
        ties: Groups = (),
        readers: Mapping[str, str] | None = None,
        needed_by: Mapping[str, str] | None = None,
    ) -> None:
        self.ties, self.readers, self.needed_by = ties, readers or {}, needed_by or {}
        tied = {name for group in ties for name in group}
        self.options = {
            name: undominated(each, same_codec=name in tied) for name, each in options.items()
        }

    def least_divergence(
        self, budget: int, limit_ms: float | None = None, known: Solution | None = None
    ) -> Solution | None:
        """The solution of at most ``budget`` bytes and ``limit_ms``; None if there is none.

        Args:
            known: a solution within both limits, which saves finding a rough one.
        """
        first = known or self._solve("divergence", self.options, budget, limit_ms, gap=_ROUGH_GAP)
        if first is None or first.divergence == 0.0:
            return first
        # No option of the optimum is worse than a whole solution. Without such options, sums and
        # tolerances have the same scale.
        worth = {
            name: [option for option in each if option.divergence <= first.divergence]
            for name, each in self.options.items()
        }
        unit = first.divergence / _OBJECTIVE
        return self._solve("divergence", worth, budget, limit_ms, unit=unit) or first

    def least_bytes(self, limit_ms: float | None = None) -> Solution | None:
        """The smallest solution of at most ``limit_ms``; None if there is none."""
        return self._solve("bytes", self.options, None, limit_ms)

    def least_milliseconds(self) -> Solution:
        """The fastest solution."""
        solution = self._solve("milliseconds", self.options, None, None)
        assert solution is not None, "with neither budget nor limit every choice is a solution"
        return solution

    def _solve(
        self,
        objective: Objective,
        options: Mapping[str, Sequence[Option]],
        budget: int | None,
        limit_ms: float | None,
        *,
        unit: float = 1.0,
        gap: float = _RELATIVE_GAP,
    ) -> Solution | None:
        matrices = _Matrices(options, self.ties, self.readers, self.needed_by)
        within = budget
        while True:
            solution = matrices.solve(objective, within, limit_ms, unit, gap)
            if solution is None or budget is None or solution.bytes <= budget:
                return solution
            # HiGHS tolerates violations of 1e-6 of a unit, which can be some bytes.
            within = (within or 0) - (solution.bytes - budget)


class _Matrices:
    """The programme in matrix form: a column per option, then one per table."""

    def __init__(
        self,
        options: Mapping[str, Sequence[Option]],
        ties: Groups,
        readers: Mapping[str, str],
        needed_by: Mapping[str, str],
    ) -> None:
        self.columns = [(name, option) for name, each in options.items() for option in each]
        self.ties, self.readers, self.needed_by = ties, readers, needed_by
        tables = {t: size for _, option in self.columns for t, size in option.tables.items()}
        self.tables = list(tables.items())

    def solve(
        self,
        objective: Objective,
        budget: int | None,
        limit_ms: float | None,
        unit: float,
        gap: float,
    ) -> Solution | None:
        """The best choice, or None if there is none.

        Args:
            budget, limit_ms: None for no limit.
            unit: scale of the objective.
            gap: accepted relative distance from the optimum.
        """
        costs = self._bytes() if objective == "bytes" else self._values(objective)
        constraints = [self._one_option_each(), *self._tables_of_decoders()]
        constraints += [*self._same_codecs(), *self._same_channels(), *self._branches()]
        if budget is not None:
            constraints.append(LinearConstraint(self._bytes()[None, :] / _MB, ub=budget / _MB))
        if limit_ms is not None:
            constraints.append(LinearConstraint(self._values("milliseconds")[None, :], ub=limit_ms))
        with suppress_stdout():
            result = milp(
                costs / unit,
                integrality=np.ones(len(costs)),
                bounds=Bounds(0, 1),
                constraints=constraints,
                options={"mip_rel_gap": gap, "time_limit": _SECONDS},
            )
        if result.x is None:
            return None
        return Solution({self.columns[i][0]: self.columns[i][1] for i in self._taken(result.x)})

    def _taken(self, values: FloatArray) -> list[int]:
        return [int(i) for i in np.flatnonzero(values[: len(self.columns)] > 0.5)]

    def _values(self, name: Literal["divergence", "milliseconds"]) -> FloatArray:
        own = [float(getattr(option, name)) for _, option in self.columns]
        return np.array([*own, *[0.0] * len(self.tables)])

    def _bytes(self) -> FloatArray:
        own = [option.bytes for _, option in self.columns]
        return np.array([*own, *(size for _, size in self.tables)], np.float64)

    def _one_option_each(self) -> LinearConstraint:
        names = list(dict.fromkeys(name for name, _ in self.columns))
        entries = [(names.index(name), i, 1.0) for i, (name, _) in enumerate(self.columns)]
        return LinearConstraint(self._matrix(entries, len(names)), lb=1, ub=1)

    def _tables_of_decoders(self) -> list[LinearConstraint]:
        """y[t] − Σ_c uses(c, t) · x[l, c] ≥ 0 for every layer and table."""
        rows: dict[tuple[str, str], list[int]] = {}
        for i, (layer, option) in enumerate(self.columns):
            for table in option.tables:
                rows.setdefault((layer, table), []).append(i)
        if not rows:
            return []
        position = {table: len(self.columns) + i for i, (table, _) in enumerate(self.tables)}
        entries = [(row, i, -1.0) for row, users in enumerate(rows.values()) for i in users]
        entries += [(row, position[table], 1.0) for row, (_, table) in enumerate(rows)]
        return [LinearConstraint(self._matrix(entries, len(rows)), lb=0)]

    def _same_codecs(self) -> list[LinearConstraint]:
        rows: dict[tuple[str, str], int] = {}
        entries: list[tuple[int, int, float]] = []
        for first, *others in self.ties:
            for other in others:
                for i, (name, option) in enumerate(self.columns):
                    if name in (first, other):
                        row = rows.setdefault((other, str(option.choice.codec)), len(rows))
                        entries.append((row, i, 1.0 if name == first else -1.0))
        return [LinearConstraint(self._matrix(entries, len(rows)), lb=0, ub=0)] if rows else []

    def _same_channels(self) -> list[LinearConstraint]:
        """Σ x[l, makes n] − Σ x[reader of l, reads n] = 0 for every number n of channels."""
        rows: dict[tuple[str, int], int] = {}
        entries: list[tuple[int, int, float]] = []
        makers = {reader: maker for maker, reader in self.readers.items()}
        for i, (name, option) in enumerate(self.columns):
            if name in self.readers and option.makes:
                row = rows.setdefault((name, option.makes), len(rows))
                entries.append((row, i, 1.0))
            if name in makers and option.reads:
                row = rows.setdefault((makers[name], option.reads), len(rows))
                entries.append((row, i, -1.0))
        return [LinearConstraint(self._matrix(entries, len(rows)), lb=0, ub=0)] if rows else []

    def _branches(self) -> list[LinearConstraint]:
        """x[l, is gone] − x[the one that needs l, its mean] = 0 for every layer that can go."""
        rows = {name: row for row, name in enumerate(self.needed_by)}
        entries: list[tuple[int, int, float]] = []
        for i, (name, option) in enumerate(self.columns):
            if option.is_gone:
                entries.append((rows[name], i, 1.0))
            if option.is_mean:
                users = (row for other, row in rows.items() if self.needed_by[other] == name)
                entries += [(row, i, -1.0) for row in users]
        return [LinearConstraint(self._matrix(entries, len(rows)), lb=0, ub=0)] if entries else []

    def _matrix(self, entries: Sequence[tuple[int, int, float]], rows: int) -> csr_array:
        row, column, value = zip(*entries, strict=True)
        return csr_array((value, (row, column)), shape=(rows, len(self.columns) + len(self.tables)))


def undominated(options: Sequence[Option], *, same_codec: bool = False) -> tuple[Option, ...]:
    """``options`` without those that another one is at least as good as in every respect.

    Args:
        same_codec: compare options of the same codec only.
    """
    kept: list[Option] = []
    # Dominating options come before dominated ones.
    for option in sorted(options, key=_order):
        rivals = [k for k in kept if not same_codec or k.choice.codec == option.choice.codec]
        if not any(rival.dominates(option) for rival in rivals):
            kept.append(option)
    return tuple(kept)


def _order(option: Option) -> tuple[float, int, float, int, str, Structure, int]:
    label, structure = choice_label(option.choice), option.structure or Structure()
    costs = option.divergence, option.bytes, option.milliseconds
    return *costs, len(option.tables), label, structure, option.reads
