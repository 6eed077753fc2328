"""What a few more bytes, or another kernel, would do for the layers that cost most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from quantkit.codecs.base import stored_bytes
from quantkit.codecs.catalogue import INT8, CodecChoice
from quantkit.explanation.layers import LayerCost
from quantkit.quantization.choices.settings import FLOAT_LAYER, LayerChoice
from quantkit.quantization.kernels.eligibility import reason_to_stay_float
from quantkit.quantization.prepared import AssignedModel
from quantkit.sensitivity.candidate_weights import CandidateWeights, FloatLayer
from quantkit.sensitivity.divergence_settings import CANDIDATES
from quantkit.sensitivity.plan_divergence import PlanTrial

#: How many are named.
REMEDIES = 3
# Layers that are tried; the first by what they cost need not be those with the most to gain.
_TRIED = 5
# Of the whole: what gains less is not worth a change.
_LEAST_GAIN = 0.01
# Of the most that a layer can gain: the first of its remedies that gains as much is named, and a
# float product is the last.
_ENOUGH = 0.8
# A layer whose inputs cost less than this share of its weights has no better kernel.
_SHARE_OF_INPUTS = 0.25


@dataclass(frozen=True)
class Remedy:
    """One layer of the plan as it could be.

    Args:
        layer: its name.
        option: that makes it so: what stands behind ``--layer``.
        gain: nats per frame, token or clip that the plan then loses less, tried as a whole.
        more_bytes: of the file, about.
    """

    layer: str
    option: str
    gain: float
    more_bytes: int


def remedies(
    assigned: AssignedModel,
    costs: Sequence[LayerCost],
    trial: PlanTrial,
    weights: CandidateWeights,
    before: float,
) -> tuple[Remedy, ...]:
    """At most :data:`REMEDIES`, from the one that gains most; each was tried.

    Args:
        assigned: the float graph with the choices of a plan.
        costs: of its layers.
        trial: of the same graph.
        weights: of the same graph.
        before: divergence of the plan in ``trial``.
    """
    ordered = sorted(costs, key=lambda each: -max(each.restored, 0.0))
    found = []
    for cost in [each for each in ordered if each.restored > 0.0][:_TRIED]:
        target = weights.layer(cost.name)
        assert target is not None, "a layer that costs something has a weight on a grid"
        tried = []
        for choice in _better(assigned.choices[cost.name], cost, target):
            changed = {**assigned.choices, cost.name: choice}
            for other in weights.sharing(cost.name):
                changed[other] = replace(changed[other], codec=choice.codec)
            gain = before - trial.divergence(changed).mean
            option = _option(cost.name, assigned.choices[cost.name], choice)
            more = _more_bytes(target, assigned.choices[cost.name], choice)
            tried.append(Remedy(cost.name, option, gain, more))
        most = max((each.gain for each in tried), default=0.0)
        if most > _LEAST_GAIN * before:
            found.append(next(each for each in tried if each.gain >= _ENOUGH * most))
    return tuple(sorted(found, key=lambda each: -each.gain)[:REMEDIES])


def _better(choice: LayerChoice, cost: LayerCost, layer: FloatLayer) -> Iterator[LayerChoice]:
    """What the layer could be, where that may help."""
    wider = next_codec(choice.codec)
    if cost.weights > 0.0 and wider is not None:
        yield replace(choice, codec=wider)
    takes_integers = choice.compute in ("static", "dynamic")
    if takes_integers and cost.inputs >= _SHARE_OF_INPUTS * cost.weights:
        if choice.activation_bits < 8:
            yield replace(choice, activation_bits=8)
        elif choice.compute == "static" and not reason_to_stay_float(layer.placed, "dynamic"):
            yield replace(choice, compute="dynamic", range="dynamic per-clip")
        yield replace(choice, compute="float32", range="none")
    if cost.weights > 0.0 and choice.codec == INT8:
        yield FLOAT_LAYER


def next_codec(codec: CodecChoice) -> CodecChoice | None:
    """With at least one bit more; None where there is nothing better for an integer kernel.

    The same codec where plans choose it, else ``grouped``, else int8.

    >>> [str(next_codec(CodecChoice.parse(text))) for text in ("rice:2.5", "ternary", "bitplane:7")]
    ['rice:3.5', 'grouped:3', 'int8']
    """
    if codec.bits >= INT8.bits:
        return None
    wider = [each for each in CANDIDATES if each.has_one_width and each.bits >= codec.bits + 1]
    for name in (codec.name, "grouped"):
        alike = [each for each in wider if each.name == name]
        if codec.has_one_width and alike:
            return min(alike, key=lambda each: each.bits)
    return INT8


def _more_bytes(layer: FloatLayer, before: LayerChoice, after: LayerChoice) -> int:
    stored = [
        stored_bytes(each.codec.make(), layer.values.shape, layer.axis) for each in (before, after)
    ]
    return stored[1] - stored[0]


def _option(name: str, was: LayerChoice, after: LayerChoice) -> str:
    if (after.compute, after.activation_bits) == (was.compute, was.activation_bits):
        return f"{name}={after.codec}"
    same_bits = after.compute == "float32" or after.activation_bits == was.activation_bits
    return f"{name}={after.codec}@{after.compute}{'' if same_bits else f'/{after.activation_bits}'}"
