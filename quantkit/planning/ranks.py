"""Which layers to split in two of which rank, so that a plan keeps to a latency.

The programme of :mod:`quantkit.planning.programme` gets further options: each codec and kernel of a
layer for both halves, at each rank that was tried. With d(r) the divergence of the rank alone and
d(c) that of codec and kernel on the whole layer,

    d(r, c) ≈ d(r) + 2 d(c),

because the second half's columns are orthonormal: what rounding does to the channels between the
halves reaches the output with the power that it has, and both halves round about as much as the
whole. This decides the ranks. Codecs and kernels of the halves are then decided anew, from what is
measured on the split model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from quantkit.calibration.data import CalibrationData
from quantkit.errors import InputError
from quantkit.planning.latency import RankTimes
from quantkit.planning.optimal import Planner
from quantkit.planning.programme import Option, Programme, Solution
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.table import Sensitivity
from quantkit.structure.layers import FIRST_HALF, Splittable, splittable_layers

#: Graph and metadata of one more layer, which the rank hardly changes.
_BYTES_OF_A_LAYER = 900


@dataclass(frozen=True)
class Structured:
    """A model with the layers split that a latency needs to be.

    Args:
        model: the same model where none needs to be.
        divergence: of the ranks alone, in nats per frame, as if layers did not interact.
    """

    model: PreparedModel
    divergence: float


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
        feeds: unlabelled clips, for the halves.
        unsplit: the best without ranks, where there is one: it is kept unless ranks are better.

    Raises:
        InputError: no ranks keep to the limit, or to the budget.
    """
    known = splittable_layers(planner.source.graph())
    timed = set().union(*(ranks for ranks, _ in times.split)) if times.split else set()
    options = {
        name: [*each, *_of_ranks(name, each, sensitivity, times, known[name])]
        if name in known and name in timed
        else list(each)
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
    ranks = {name: each.rank for name, each in solution.options.items() if each.rank}
    lost = {name: _divergences(sensitivity, name)[rank] for name, rank in ranks.items()}
    return Structured(planner.source.structured(ranks, feeds), sum(lost.values()))


def _of_ranks(
    name: str,
    whole: Sequence[Option],
    sensitivity: Sensitivity,
    times: RankTimes,
    layer: Splittable,
) -> list[Option]:
    """What the layer could be as two."""
    found = []
    for rank, divergence in _divergences(sensitivity, name).items():
        split = times.of({name: rank})
        for option in whole:
            compute = option.choice.compute
            found.append(
                replace(
                    option,
                    divergence=divergence + 2.0 * option.divergence,
                    bytes=int(option.bytes * layer.products(rank)) + _BYTES_OF_A_LAYER,
                    milliseconds=sum(
                        split.milliseconds(half, compute) for half in (name + FIRST_HALF, name)
                    ),
                    rank=rank,
                )
            )
    return found


def _divergences(sensitivity: Sensitivity, name: str) -> dict[int, float]:
    return {each.rank: each.divergence for each in sensitivity.layer(name).ranks}
