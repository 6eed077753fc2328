"""Which layers to split at which rank, and which to make fewer channels, so that a plan keeps to a
latency.

The programme of :mod:`quantkit.planning.programme` gets further options: each codec and kernel of a
layer for all of its parts, at each pair of ranks that was tried. With d(r) and d(s) the divergences
of the ranks of outputs and of inputs alone, and d(c) that of codec and kernel on the whole layer,

    d(r, s, c) ≈ d(r) + d(s) + parts · d(c),

because the last part's columns are orthonormal: what rounding does to the channels between parts
reaches the output with the power that it has, and each part rounds about as much as the whole.

Or the layer makes n channels of all, and reads as many as the layer before it makes:

    d(n, c) ≈ d(n) + d(c).

Or it makes its mean alone, and all layers that only it needs are gone.

This decides the structure. Codecs of what comes of it are then decided anew, from what is measured
on that model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from quantkit.calibration.data import CalibrationData
from quantkit.errors import InputError
from quantkit.graph.plan import Structure
from quantkit.planning.candidates import Kernel
from quantkit.planning.channel_times import ChannelTimes
from quantkit.planning.latency import LayerTimes, RankTimes
from quantkit.planning.optimal import Planner
from quantkit.planning.programme import Option, Programme, Solution, undominated
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.table import Sensitivity

#: Graph and metadata of one more layer, which the rank hardly changes.
_BYTES_OF_A_LAYER = 900


@dataclass(frozen=True)
class Structured:
    """A model with the structure that a latency needs.

    Args:
        model: the same model where it needs none.
        divergence: of the structure alone, in nats per frame, as if layers did not interact.
        kernels: of its layers, that were reckoned with: compute and bits of the input. Empty where
            there is no structure.
    """

    model: PreparedModel
    divergence: float
    kernels: Mapping[str, Kernel] = field(default_factory=dict)

    def milliseconds(self, times: LayerTimes) -> float:
        """What it takes by the times of its own layers."""
        return sum(times.milliseconds(name, *each) for name, each in self.kernels.items())


def choose_structure(
    planner: Planner,
    sensitivity: Sensitivity,
    times: RankTimes,
    budget_bytes: int,
    limit_ms: float,
    feeds: CalibrationData,
    unsplit: Solution | None = None,
    fewer: ChannelTimes | None = None,
    branches: Mapping[str, Sequence[str]] | None = None,
) -> Structured:
    """The model split so that the plan of least divergence keeps to budget and limit.

    Layers that ``times`` do not have split stay whole.

    Args:
        planner: of the model as it is, with the times of ``times.whole``.
        sensitivity: that ``planner`` was made from, with divergences of ranks and of channels.
        feeds: unlabelled clips, for the new weights.
        unsplit: the best without structure, where there is one: it is kept unless another is
            better.
        fewer: times with fewer channels; None: all layers make all of theirs.
        branches: layers that may make their mean alone, each with those that only it needs.

    Raises:
        InputError: no structure keeps to the limit, or to the budget.
    """
    ends = branches or {}
    options = {
        name: [
            *each,
            *(_of_ranks(name, each, sensitivity, times) if name in times.layers else ()),
            *(() if fewer is None else _of_channels(name, each, sensitivity, fewer)),
            *_of_branches(name, each, sensitivity, ends),
        ]
        for name, each in planner.options.items()
    }
    needed_by = {name: end for end, others in ends.items() for name in others}
    paths = {} if fewer is None else fewer.paths
    readers = {name: path.consumer for name, path in paths.items()}
    programme = Programme(options, planner.ties, readers, needed_by)
    solution = programme.least_divergence(budget_bytes - planner.sizes.base, limit_ms)
    if unsplit is not None and (solution is None or unsplit.divergence <= solution.divergence):
        return Structured(planner.source, 0.0)
    if solution is None:
        fastest = programme.least_milliseconds().milliseconds
        if fastest > limit_ms:
            raise InputError(
                f"no structure and kernels run in {limit_ms:.3g} ms on this host: the fastest take "
                f"{fastest:.3g}; raise the limit, or pin fewer layers"
            )
        raise InputError(
            f"a file of {budget_bytes:,} bytes that runs in {limit_ms:.3g} ms is impossible; raise "
            "the budget or the limit"
        )
    structure = {n: each.structure for n, each in solution.options.items() if each.structure}
    lost = (_divergence(sensitivity, name, each) for name, each in structure.items())
    kernels = {
        part: (option.choice.compute, option.choice.activation_bits)
        for name, option in solution.options.items()
        if not option.is_gone and not option.is_mean
        for part in _parts(name, option, times)
    }
    made = planner.source.structured(structure, feeds)
    return Structured(made, sum(lost), kernels)


def _parts(name: str, option: Option, times: RankTimes) -> tuple[str, ...]:
    structure = option.structure
    split = structure is not None and structure.is_split
    return times.layers[name].parts(name, structure) if structure and split else (name,)


def _divergence(sensitivity: Sensitivity, name: str, structure: Structure) -> float:
    if structure.mean:
        return sensitivity.layer(name).mean[0].divergence
    if structure.is_split:
        return _divergences(sensitivity, name)[structure]
    return _of_counts(sensitivity, name)[structure.channels]


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
            choice = option.choice
            taken = times.of_parts(name, ranks, choice.compute, choice.activation_bits)
            found.append(
                replace(
                    option,
                    divergence=divergence + len(parts) * option.divergence,
                    bytes=int(option.bytes * layer.products(ranks))
                    + (len(parts) - 1) * _BYTES_OF_A_LAYER,
                    milliseconds=taken,
                    structure=ranks,
                )
            )
    return list(undominated(found))


def _of_channels(
    name: str, whole: Sequence[Option], sensitivity: Sensitivity, times: ChannelTimes
) -> list[Option]:
    """What the layer could be with fewer channels, made or read."""
    made = _of_counts(sensitivity, name) if name in times.paths else {0: 0.0}
    before = times.read_by.get(name)
    read = {0: 0.0} if before is None else _of_counts(sensitivity, before.producer)
    found = []
    for makes, divergence in made.items():
        for reads in read:
            if not makes and not reads:
                continue
            products = times.products(name, makes, reads)
            for option in whole:
                choice = option.choice
                taken = times.milliseconds(
                    name, choice.compute, makes, reads, choice.activation_bits
                )
                found.append(
                    replace(
                        option,
                        divergence=divergence + option.divergence,
                        bytes=int(option.bytes * products),
                        milliseconds=taken,
                        structure=Structure(channels=makes) if makes else None,
                        reads=reads,
                    )
                )
    return list(undominated(found))


def _of_branches(
    name: str,
    whole: Sequence[Option],
    sensitivity: Sensitivity,
    branches: Mapping[str, Sequence[str]],
) -> list[Option]:
    """Its mean alone, which takes next to no time and bytes; or nothing, where another does so."""
    free = replace(whole[0], divergence=0.0, bytes=0, tables={}, milliseconds=0.0)
    if name in branches:
        (mean,) = sensitivity.layer(name).mean
        return [replace(free, divergence=mean.divergence, structure=Structure(mean=True))]
    if any(name in others for others in branches.values()):
        return [replace(free, is_gone=True)]
    return []


def _of_counts(sensitivity: Sensitivity, name: str) -> dict[int, float]:
    """Divergence at each number of channels that the layer makes; 0 for all."""
    return {0: 0.0, **{each.rank: each.divergence for each in sensitivity.layer(name).channels}}


def _divergences(sensitivity: Sensitivity, name: str) -> dict[Structure, float]:
    """At all pairs of ranks; errors of the two sides have nothing to do with each other."""
    row = sensitivity.layer(name)
    outputs = {0: 0.0, **{each.rank: each.divergence for each in row.ranks}}
    inputs = {0: 0.0, **{each.rank: each.divergence for each in row.input_ranks}}
    return {
        Structure(made, read): by_output + by_input
        for made, by_output in outputs.items()
        for read, by_input in inputs.items()
        if made or read
    }
