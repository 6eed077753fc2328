"""What each layer of a model may become, and how far that is predicted to move the posteriors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import isotonic_regression

from quantkit.codecs.catalogue import FLOAT32, CodecChoice
from quantkit.errors import InputError
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import Layer
from quantkit.graph.operators import layer_weights
from quantkit.graph.plan import Compute
from quantkit.planning.size_model import choice_label
from quantkit.quantization.choices.settings import (
    FLOAT_LAYER,
    LayerChoice,
    QuantizeSettings,
    match_layers,
)
from quantkit.quantization.prepare import settle
from quantkit.quantization.prepared import AssignedModel
from quantkit.quantization.tied_weights import shared_weights
from quantkit.sensitivity.table import LayerSensitivity, Sensitivity, WeightDivergence

#: A kernel: compute, and bits of the grid of its input.
Kernel = tuple[Compute, int]

# Logarithms need something above zero; no measurement in float32 resolves so little.
_LEAST_DIVERGENCE = 1e-12


@dataclass(frozen=True)
class Candidate:
    """One thing that a layer may become.

    Args:
        choice: storage, compute and activation bits.
        divergence: of its weight's codec and its input's grid together, in nats per frame.
    """

    choice: LayerChoice
    divergence: float


@dataclass(frozen=True)
class _Pin:
    """What was said about a layer; None where it is free."""

    compute: Compute | None = None
    codec: CodecChoice | None = None
    activation_bits: int | None = None


def layer_candidates(
    assigned: AssignedModel,
    sensitivity: Sensitivity,
    settings: QuantizeSettings,
    *,
    codecs: Sequence[CodecChoice] = (),
    any_compute: bool = False,
) -> dict[str, tuple[Candidate, ...]]:
    """The candidates of every layer, in graph order.

    What a layer cannot be, because no kernel or the target runtime can do it, is replaced by what
    it would become. Excluded layers have float32 for their only candidate.

    Args:
        assigned: the float model.
        settings: compute and activation bits of the layers, exclusions, rules and target runtime;
            its codec does not matter.
        codecs: to choose among; none: all that the table has.
        any_compute: let the compute and activation bits of each layer be any that the table has,
            or float32, instead of what ``settings`` say.

    Raises:
        FormatError: the table is for another model.
        InputError: the table says too little about a layer, a codec of ``codecs`` is not in it, or
            a pattern matches no layer.
    """
    sensitivity.require_model(assigned.plan.model_sha256)
    _require_known(sensitivity, codecs)
    pins = _pins(settings, assigned.layers)
    usual = replace(settings, codec=None).assign(assigned.layers)
    # Layers with one weight are measured together: each bears its part of what that showed.
    sharers = {
        name: len(group)
        for group in shared_weights(assigned.model, assigned.layers)
        for name in group
    }
    weights = layer_weights(GraphEditor(assigned.model))
    asked: dict[str, list[Candidate]] = {}
    for layer in assigned.layers:
        row, pin = sensitivity.layer(layer.name), pins[layer.name]
        # No grids were tried of what is computed from step to step.
        free = any_compute and weights[layer.name].is_plain_product
        kernels = _kernels(row, usual[layer.name], pin, free)
        divergences = _weight_divergences(row)
        chosen = [pin.codec] if pin.codec else [w.codec for w in row.weights]
        if codecs and not pin.codec:
            chosen = [codec for codec in chosen if codec in codecs]
        asked[layer.name] = [
            Candidate(
                choice, _of_codec(codec, divergences) / sharers.get(layer.name, 1) + kernels[kernel]
            )
            for codec in chosen
            for kernel in kernels
            for choice in _choice(kernel, codec, settings)
        ]
        if not row.weights and not pin.codec:
            # Its weight can only stay as it is, the analysis found.
            asked[layer.name] = [Candidate(FLOAT_LAYER, 0.0)]
        if not asked[layer.name]:
            raise InputError(
                f"layer {layer.name}: none of the candidate codecs goes with compute "
                f"{' or '.join(dict.fromkeys(compute for compute, _ in kernels))}; give others"
            )
    return _settled(assigned, asked, settings.target_runtime)


def falling_with_bits(weights: Sequence[WeightDivergence]) -> list[float]:
    """The divergences with measurement noise taken out: more bits of a codec are never worse.

    Isotonic regression of the logarithms (T. Robertson, F. T. Wright and R. L. Dykstra, "Order
    Restricted Statistical Inference", Wiley 1988, chapter 1) over the widths of each codec.
    """
    families: dict[str, list[int]] = defaultdict(list)
    for i, weight in enumerate(weights):
        options = sorted(weight.codec.options.items())
        families[f"{weight.codec.name} {options}"].append(i)
    fitted = [0.0] * len(weights)
    for members in families.values():
        members.sort(key=lambda i: weights[i].codec.bits)
        logarithms = [np.log(max(weights[i].divergence, _LEAST_DIVERGENCE)) for i in members]
        for i, value in zip(
            members, isotonic_regression(logarithms, increasing=False).x, strict=True
        ):
            fitted[i] = float(np.exp(value))
    return fitted


def _require_known(sensitivity: Sensitivity, codecs: Sequence[CodecChoice]) -> None:
    known = {str(w.codec): w.codec for layer in sensitivity.layers for w in layer.weights}
    if not known:
        raise InputError(
            "the sensitivity table holds no output divergence; make it with `quantkit analyze "
            "MODEL --audio DIR`, without --no-divergence"
        )
    for codec in codecs:
        if codec not in known.values():
            raise InputError(
                f"the sensitivity table says nothing about codec {codec}; it has: "
                f"{', '.join(known)}"
            )


def _pins(settings: QuantizeSettings, layers: Sequence[Layer]) -> dict[str, _Pin]:
    excluded = match_layers(settings.exclude, layers)
    pins = {
        layer.name: _Pin("float32", FLOAT32) if layer.name in excluded else _Pin()
        for layer in layers
    }
    for rule in settings.rules:
        for name in match_layers((rule.pattern,), layers):
            pin = pins[name]
            pins[name] = _Pin(
                rule.compute or pin.compute,
                rule.codec or pin.codec,
                rule.activation_bits or pin.activation_bits,
            )
    return pins


def _kernels(
    row: LayerSensitivity, usual: LayerChoice, pin: _Pin, any_compute: bool
) -> dict[Kernel, float]:
    """The kernels that a layer may have, with the divergence that its input's grid brings."""
    measured: dict[Kernel, float] = {(a.compute, a.bits): a.divergence for a in row.activations}
    if not any_compute:
        # Divergence that all candidates of a layer have in common decides nothing.
        kernel = (usual.compute, usual.activation_bits)
        return {kernel: measured.get(kernel, 0.0)}
    every: dict[Kernel, float] = {("float32", 8): 0.0, **measured}
    return {
        (compute, bits): divergence
        for (compute, bits), divergence in every.items()
        if compute == (pin.compute or compute)
        and (compute == "float32" or bits == (pin.activation_bits or bits))
    } or {(usual.compute, usual.activation_bits): 0.0}


def _choice(
    kernel: Kernel, codec: CodecChoice, settings: QuantizeSettings
) -> Iterator[LayerChoice]:
    """The choice of both, unless the kernel cannot read the codec."""
    compute, bits = kernel
    label = {"static": settings.range_label, "dynamic": f"dynamic {settings.dynamic_range}"}
    with suppress(InputError):
        yield LayerChoice(compute, codec, bits, label.get(compute, "none"))


def _weight_divergences(row: LayerSensitivity) -> dict[str, tuple[CodecChoice, float]]:
    fitted = falling_with_bits(row.weights)
    return {
        str(weight.codec): (weight.codec, divergence)
        for weight, divergence in zip(row.weights, fitted, strict=True)
    }


def _of_codec(codec: CodecChoice, known: Mapping[str, tuple[CodecChoice, float]]) -> float:
    """The divergence of ``codec``; of one that was not measured, no less than is known of it."""
    if codec == FLOAT32:
        return 0.0
    if str(codec) in known:
        return known[str(codec)][1]
    coarser = [d for other, d in known.values() if other.bits <= codec.bits]
    return min(coarser, default=max((d for _, d in known.values()), default=0.0))


def _settled(
    assigned: AssignedModel, asked: Mapping[str, Sequence[Candidate]], target_runtime: str
) -> dict[str, tuple[Candidate, ...]]:
    """The candidates as the layers can have them, each once: the first of those that agree."""
    if all(choice.is_plain_float for choice in assigned.choices.values()):
        return dict.fromkeys(asked, (Candidate(FLOAT_LAYER, 0.0),))
    found: dict[str, dict[str, Candidate]] = {name: {} for name in asked}
    for i in range(max(map(len, asked.values()))):
        turn = {name: each[min(i, len(each) - 1)] for name, each in asked.items()}
        choices = {name: candidate.choice for name, candidate in turn.items()}
        possible, _ = settle(assigned.model, assigned.layers, choices, target_runtime)
        for name, choice in possible.items():
            divergence = 0.0 if choice.is_plain_float else turn[name].divergence
            found[name].setdefault(choice_label(choice), Candidate(choice, divergence))
    return {name: tuple(each.values()) for name, each in found.items()}
