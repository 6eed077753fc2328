"""Layers whose usual integer kernel rounds their input too coarsely.

A calibrated grid covers the whole range that a layer's input had in all clips. If quiet passages
matter as much as loud ones, as before a normalisation that makes all frames equally loud, the quiet
ones fall between two levels, and more weight bits do not bring them back. A range that is found
anew for each clip costs less, and a float product costs nothing. Either leaves the file as small,
and takes longer. So the inputs are rounded more finely only as far as it shows: until all of them
together cost little beside the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from quantkit.graph.layers import Layer
from quantkit.graph.plan import Compute
from quantkit.quantization.choices.settings import (
    RULE,
    LayerRule,
    QuantizeSettings,
    match_layers,
)
from quantkit.sensitivity.table import Sensitivity

#: What rounded inputs may cost together, as a share of what the weights cost.
SHARE = 0.1
#: The same in nats per frame, for plans whose weights cost almost nothing. Plans of 0.0005 nats
#: change no more words than int8 everywhere does.
LEAST_LIMIT = 0.0005


@dataclass(frozen=True)
class InputKernel:
    """The kernel that a layer gets in place of its usual one.

    Args:
        compute: ``dynamic`` or ``float32``.
        usual: divergence that the usual kernel's grid causes alone, in nats per frame.
        divergence: the same of this kernel's.
    """

    compute: Compute
    usual: float
    divergence: float

    @property
    def note(self) -> str:
        """Why, for the plan."""
        kind = "float product" if self.compute == "float32" else "a range for each clip"
        return f"{kind}: the usual integer input alone costs {self.usual:.2g} nats"


def divergence_of_inputs(
    sensitivity: Sensitivity, settings: QuantizeSettings, layers: Sequence[Layer]
) -> dict[str, float]:
    """What the grid of each layer's input causes alone, in nats per frame; 0 if not measured.

    Args:
        settings: give the kernel of each layer.
        layers: of the model that ``sensitivity`` is of.

    Raises:
        InputError: a pattern of ``settings`` matches no layer.
    """
    usual = replace(settings, codec=None).assign(layers)
    return {
        layer.name: _measured(sensitivity, layer.name).get(
            (usual[layer.name].compute, usual[layer.name].activation_bits), 0.0
        )
        for layer in layers
    }


def finer_inputs(
    sensitivity: Sensitivity,
    settings: QuantizeSettings,
    layers: Sequence[Layer],
    limit: float,
) -> dict[str, InputKernel]:
    """The layers that get another kernel, so that all inputs together cost at most ``limit``.

    First, ranges of their own for each clip, where that gains most; then a float product for each
    layer that alone costs more than the limit. Many small costs are left as they are: float
    products in all of their layers would make the model slow.

    Args:
        settings: give the usual kernel of each layer. A layer whose compute a rule sets keeps it.
        layers: of the model that ``sensitivity`` is of.
        limit: in nats per frame.

    Raises:
        InputError: a pattern of ``settings`` matches no layer.
    """
    usual = replace(settings, codec=None).assign(layers)
    costs = divergence_of_inputs(sensitivity, settings, layers)
    pinned = {
        name
        for rule in settings.rules
        if rule.compute is not None
        for name in match_layers((rule.pattern,), layers, RULE)
    }
    free = [layer.name for layer in layers if layer.name not in pinned]
    total = sum(costs.values())
    dynamic = {}
    for name in free:
        cost = _measured(sensitivity, name).get(("dynamic", usual[name].activation_bits))
        if usual[name].compute == "static" and cost is not None:
            dynamic[name] = cost
    gains = {name: costs[name] - cost for name, cost in dynamic.items()}
    found: dict[str, InputKernel] = {}
    for name in sorted(gains, key=lambda name: -gains[name]):
        if total <= limit or gains[name] <= 0:
            break
        found[name] = InputKernel("dynamic", costs[name], dynamic[name])
        total -= gains[name]
    for name in free:
        cost = found[name].divergence if name in found else costs[name]
        if cost > limit:
            found[name] = InputKernel("float32", costs[name], 0.0)
    return {layer.name: found[layer.name] for layer in layers if layer.name in found}


def with_kernels(
    settings: QuantizeSettings, kernels: Mapping[str, InputKernel]
) -> QuantizeSettings:
    """``settings`` with other kernels for some layers, unless its rules set them."""
    rules = (LayerRule(name, compute=kernel.compute) for name, kernel in kernels.items())
    return replace(settings, rules=(*rules, *settings.rules))


def _measured(sensitivity: Sensitivity, name: str) -> dict[tuple[Compute, int], float]:
    return {(a.compute, a.bits): a.divergence for a in sensitivity.layer(name).activations}
