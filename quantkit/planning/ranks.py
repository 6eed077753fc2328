"""Which layers to split in two of which rank, so that a plan keeps to a latency.

The programme of :mod:`quantkit.planning.programme` gets further options: each codec and kernel of a
layer for all of its parts, at each pair of ranks that was tried. With d(r) and d(s) the divergences
of the ranks of outputs and of inputs alone, and d(c) that of codec and kernel on the whole layer,

    d(r, s, c) ≈ d(r) + d(s) + parts · d(c),

because the last part's columns are orthonormal: what rounding does to the channels between parts
reaches the output with the power that it has, and each part rounds about as much as the whole. This
decides the ranks. Codecs of the parts are then decided anew, from what is measured on the split
model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from quantkit.calibration.data import CalibrationData
from quantkit.errors import InputError
from quantkit.graph.plan import Compute, Ranks
from quantkit.planning.latency import LayerTimes, RankTimes
from quantkit.planning.optimal import Planner
from quantkit.planning.programme import Option, Programme, Solution, undominated
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.table import Sensitivity

#: Graph and metadata of one more layer, which the rank hardly changes.
_BYTES_OF_A_LAYER = 900


@dataclass(frozen=True)
class Structured:
    """A model with the layers split that a latency needs to be.

    Args:
        model: the same model where none needs to be.
        divergence: of the ranks alone, in nats per frame, as if layers did not interact.
        computes: of its layers, that were reckoned with; empty where none is split.
    """

    model: PreparedModel
    divergence: float
    computes: Mapping[str, Compute] = field(default_factory=dict)

    def milliseconds(self, times: LayerTimes) -> float:
        """What it takes by the times of its own layers."""
        return sum(times.milliseconds(name, each) for name, each in self.computes.items())


def choose_ranks(
    planner: Planner,
    sensitivity: Sensitivity,
    times: RankTimes,
    budget_bytes: int,
    limit_ms: float,
    feeds: CalibrationData,
    unsplit: Solution | None = None,
) -> Structured:
    """The model split so that the plan of least divergence keeps to budget and limit.

    Layers that ``times`` do not have split stay whole.

    Args:
        planner: of the model with no layer split, with the times of ``times.whole``.
        sensitivity: that ``planner`` was made from, with divergences of ranks.
        feeds: unlabelled clips, for the parts.
        unsplit: the best without ranks, where there is one: it is kept unless ranks are better.

    Raises:
        InputError: no ranks keep to the limit, or to the budget.
    """
    options = {
        name: [*each, *_of_ranks(name, each, sensitivity, times)] if name in times.layers else each
        for name, each in planner.options.items()
    }
    programme = Programme(options, planner.ties)
    solution = programme.least_divergence(budget_bytes - planner.sizes.base, limit_ms)
    if unsplit is not None and (solution is None or unsplit.divergence <= solution.divergence):
        return Structured(planner.source, 0.0)
    if solution is None:
        fastest = programme.least_milliseconds().milliseconds
        if fastest > limit_ms:
            raise InputError(
                f"no ranks and kernels run in {limit_ms:.3g} ms on this host: the fastest take "
                f"{fastest:.3g}; raise the limit, or pin fewer layers"
            )
        raise InputError(
            f"a file of {budget_bytes:,} bytes that runs in {limit_ms:.3g} ms is impossible; raise "
            "the budget or the limit"
        )
    structure = {name: each.ranks for name, each in solution.options.items() if each.ranks}
    lost = {name: _divergences(sensitivity, name)[ranks] for name, ranks in structure.items()}
    computes = {
        part: option.choice.compute
        for name, option in solution.options.items()
        for part in (times.layers[name].parts(name, option.ranks) if option.ranks else [name])
    }
    split = planner.source.structured(structure, feeds)
    return Structured(split, sum(lost.values()), computes)


def _of_ranks(
    name: str, whole: Sequence[Option], sensitivity: Sensitivity, times: RankTimes
) -> list[Option]:
    """What the layer could be in parts."""
    found = []
    layer = times.layers[name]
    for ranks, divergence in _divergences(sensitivity, name).items():
        if not layer.saves(ranks):
            continue
        parts = layer.parts(name, ranks)
        for option in whole:
            compute = option.choice.compute
            found.append(
                replace(
                    option,
                    divergence=divergence + len(parts) * option.divergence,
                    bytes=int(option.bytes * layer.products(ranks))
                    + (len(parts) - 1) * _BYTES_OF_A_LAYER,
                    milliseconds=times.of_parts(name, ranks, compute),
                    ranks=ranks,
                )
            )
    return list(undominated(found))


def _divergences(sensitivity: Sensitivity, name: str) -> dict[Ranks, float]:
    """At all pairs of ranks; errors of the two sides have nothing to do with each other."""
    row = sensitivity.layer(name)
    outputs = {0: 0.0, **{each.rank: each.divergence for each in row.ranks}}
    inputs = {0: 0.0, **{each.rank: each.divergence for each in row.input_ranks}}
    return {
        Ranks(made, read): by_output + by_input
        for made, by_output in outputs.items()
        for read, by_input in inputs.items()
        if made or read
    }
