"""Candidate choices of each layer, and their predicted divergence of the posteriors."""

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
    EXCLUSION,
    FLOAT_LAYER,
    RULE,
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

# Logarithms need a positive floor; no float32 measurement resolves a smaller divergence.
_LEAST_DIVERGENCE = 1e-12


@dataclass(frozen=True)
class Candidate:
    """One candidate choice of a layer.

    Args:
        choice: storage, compute and activation bits.
        divergence: of its weight's codec and its input's grid together, in nats per frame.
    """

    choice: LayerChoice
    divergence: float


@dataclass(frozen=True)
class _Pin:
    """What the rules set for a layer; None where it is free."""

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
    faster_inputs: bool = False,
) -> dict[str, tuple[Candidate, ...]]:
    """The candidates of every layer, in graph order.

    Choices that no kernel or not the target runtime supports are replaced by their fallback.
    Excluded layers have float32 as their only candidate.

    Args:
        assigned: the float model.
        settings: compute and activation bits of the layers, exclusions, rules and target runtime;
            its codec does not matter.
        codecs: to choose from; none: all codecs of the table.
        any_compute: whether each layer may have any compute and activation bits of the table, or
            float32, instead of those of ``settings``.
        faster_inputs: whether static layers may have fewer bits of input where the table has what
            those need of the weights; with ``any_compute`` they may.

    Raises:
        FormatError: the table is for another model.
        InputError: the table has no divergence for a layer, a codec of ``codecs`` is not in it, or
            a pattern matches no layer.
    """
    sensitivity.require_model(assigned.plan.model_sha256)
    _require_known(sensitivity, codecs)
    pins = _pins(settings, assigned.layers)
    usual = replace(settings, codec=None).assign(assigned.layers)
    # Layers with a tied weight are measured together: each gets an equal part of the divergence.
    sharers = {
        name: len(group)
        for group in shared_weights(assigned.model, assigned.layers)
        for name in group
    }
    weights = layer_weights(GraphEditor(assigned.model))
    requested: dict[str, list[Candidate]] = {}
    for layer in assigned.layers:
        row, pin = sensitivity.layer(layer.name), pins[layer.name]
        # No grids were tried of what is computed from step to step.
        free = any_compute and weights[layer.name].is_plain_product
        kernels = _kernels(row, usual[layer.name], pin, free, faster_inputs)
        divergences = {kernel: _weight_divergences(_weights(row, kernel)) for kernel in kernels}
        chosen = [pin.codec] if pin.codec else [w.codec for w in row.weights]
        if codecs and not pin.codec:
            chosen = [codec for codec in chosen if codec in codecs]
        requested[layer.name] = [
            Candidate(
                choice,
                _of_codec(codec, divergences[kernel]) / sharers.get(layer.name, 1)
                + kernels[kernel],
            )
            for codec in chosen
            for kernel in kernels
            for choice in _choice(kernel, codec, settings)
        ]
        if not row.weights and not pin.codec:
            # The analysis found that its weight can only stay float32.
            requested[layer.name] = [Candidate(FLOAT_LAYER, 0.0)]
        if not requested[layer.name]:
            raise InputError(
                f"layer {layer.name}: none of the candidate codecs supports compute "
                f"{' or '.join(dict.fromkeys(compute for compute, _ in kernels))}; give others"
            )
    return _settled(assigned, requested, settings.target_runtime)


def falling_with_bits(weights: Sequence[WeightDivergence]) -> list[float]:
    """The divergences without measurement noise: more bits of a codec are never worse.

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
            "the sensitivity table has no output divergence; make it with `quantkit analyze "
            "MODEL --audio DIR`, without --no-divergence"
        )
    for codec in codecs:
        if codec not in known.values():
            raise InputError(
                f"the sensitivity table does not have codec {codec}; it has: {', '.join(known)}"
            )


def _pins(settings: QuantizeSettings, layers: Sequence[Layer]) -> dict[str, _Pin]:
    excluded = match_layers(settings.exclude, layers, EXCLUSION)
    pins = {
        layer.name: _Pin("float32", FLOAT32) if layer.name in excluded else _Pin()
        for layer in layers
    }
    for rule in settings.rules:
        for name in match_layers((rule.pattern,), layers, RULE):
            pin = pins[name]
            pins[name] = _Pin(
                rule.compute or pin.compute,
                rule.codec or pin.codec,
                rule.activation_bits or pin.activation_bits,
            )
    return pins


def _kernels(
    row: LayerSensitivity, usual: LayerChoice, pin: _Pin, any_compute: bool, faster_inputs: bool
) -> dict[Kernel, float]:
    """The kernels that a layer may have, with the divergence caused by quantizing its input."""
    measured: dict[Kernel, float] = {(a.compute, a.bits): a.divergence for a in row.activations}
    if not any_compute:
        # Divergence that all candidates of a layer share does not affect the choice.
        kernel = (usual.compute, usual.activation_bits)
        found = {kernel: measured.get(kernel, 0.0)}
        if faster_inputs and usual.compute == "static" and pin.activation_bits is None:
            found |= {
                (each.compute, each.bits): each.divergence
                for each in row.activations
                if each.weights is not None and each.bits < usual.activation_bits
            }
        return found
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
    """The choice of kernel and codec, unless the kernel cannot read the codec."""
    compute, bits = kernel
    label = {"static": settings.range_label, "dynamic": f"dynamic {settings.dynamic_range}"}
    with suppress(InputError):
        yield LayerChoice(compute, codec, bits, label.get(compute, "none"))


def _weights(row: LayerSensitivity, kernel: Kernel) -> Sequence[WeightDivergence]:
    """Divergences of the codecs with the levels that the kernel can multiply."""
    own = (a.weights for a in row.activations if (a.compute, a.bits) == kernel)
    return next((each for each in own if each is not None), row.weights)


def _weight_divergences(
    weights: Sequence[WeightDivergence],
) -> dict[str, tuple[CodecChoice, float]]:
    fitted = falling_with_bits(weights)
    return {
        str(weight.codec): (weight.codec, divergence)
        for weight, divergence in zip(weights, fitted, strict=True)
    }


def _of_codec(codec: CodecChoice, known: Mapping[str, tuple[CodecChoice, float]]) -> float:
    """The divergence of ``codec``; for one that was not measured, the best known lower bound."""
    if codec == FLOAT32:
        return 0.0
    if str(codec) in known:
        return known[str(codec)][1]
    coarser = [d for other, d in known.values() if other.bits <= codec.bits]
    return min(coarser, default=max((d for _, d in known.values()), default=0.0))


def _settled(
    assigned: AssignedModel, requested: Mapping[str, Sequence[Candidate]], target_runtime: str
) -> dict[str, tuple[Candidate, ...]]:
    """The candidates after fallbacks, each once: the first of equal ones."""
    if all(choice.is_plain_float for choice in assigned.choices.values()):
        return dict.fromkeys(requested, (Candidate(FLOAT_LAYER, 0.0),))
    found: dict[str, dict[str, Candidate]] = {name: {} for name in requested}
    for i in range(max(map(len, requested.values()))):
        turn = {name: each[min(i, len(each) - 1)] for name, each in requested.items()}
        choices = {name: candidate.choice for name, candidate in turn.items()}
        possible, _ = settle(assigned.model, assigned.layers, choices, target_runtime)
        for name, choice in possible.items():
            divergence = 0.0 if choice.is_plain_float else turn[name].divergence
            found[name].setdefault(choice_label(choice), Candidate(choice, divergence))
    return {name: tuple(each.values()) for name, each in found.items()}
