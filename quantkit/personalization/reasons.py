"""Why each layer got its bits, in one line of text."""

from __future__ import annotations

from quantkit.graph.plan import LayerPlan, Plan
from quantkit.personalization.widths import bits_in_words, stored_weights
from quantkit.sensitivity.table import LayerSensitivity, Sensitivity

# Bits at which layers are compared: few enough to show differences, enough for sums to hold.
_REFERENCE_BITS = 3.0


def reasons(sensitivity: Sensitivity | None, plan: Plan) -> tuple[str, ...]:
    """One line for each layer of ``plan``, in its order.

    A layer is cheap to make small when it moves the posteriors little for the bytes it saves; see
    :func:`divergence_per_weight`.

    ::

        reasons(sensitivity, plan)[8]
        # layer9.conv holds 56 % of the weights and is the least sensitive per byte: 2 bits

    Args:
        sensitivity: of the same model; None if unknown.
    """
    known = {} if sensitivity is None else {layer.name: layer for layer in sensitivity.layers}
    weights = stored_weights(plan)
    total = max(1, sum(weights.values()))
    costs = {name: divergence_per_weight(layer) for name, layer in known.items()}
    ranked = sorted((cost, name) for name, cost in costs.items() if cost is not None)
    ranks = {name: position for position, (_, name) in enumerate(ranked)}
    return tuple(
        f"{row.name} holds {share_in_words(weights[row.name] / total)} of the weights"
        f"{_rank_in_words(ranks.get(row.name), len(ranks))}: {_outcome(row)}"
        if weights[row.name]
        else f"{row.name} reads the weight of an earlier layer: {_outcome(row)}"
        for row in plan.layers
    )


def divergence_per_weight(layer: LayerSensitivity) -> float | None:
    """Divergence per weight at about three bits, with the best codec there.

    Only codecs with the same bits for all weights. None if no divergence is known.
    """
    known = [each for each in layer.weights if each.codec.has_one_width]
    if not known:
        return None
    nearest = min(abs(each.codec.bits - _REFERENCE_BITS) for each in known)
    best = min(
        each.divergence for each in known if abs(each.codec.bits - _REFERENCE_BITS) == nearest
    )
    return best / max(1, layer.parameters)


def share_in_words(share: float) -> str:
    """A share in whole percent, or ``less than 1 %``."""
    return "less than 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _rank_in_words(rank: int | None, count: int) -> str:
    if rank is None or count < 2:
        return ""
    if rank == 0:
        return " and is the least sensitive per byte"
    if rank == count - 1:
        return " and is the most sensitive per byte"
    if rank >= count / 2:
        return f" and is more sensitive per byte than {rank} of the other {count - 1}"
    return f" and is less sensitive per byte than {count - 1 - rank} of the other {count - 1}"


def _outcome(row: LayerPlan) -> str:
    stored = "float32, as it was" if row.codec == "float32" else bits_in_words(row)
    return f"{stored} ({row.note})" if row.note else stored
