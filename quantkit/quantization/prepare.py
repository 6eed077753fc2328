"""What each layer of a float32 model becomes: settings or a plan, and what limits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import FLOAT32, INT8
from quantkit.errors import FormatError
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import Layer
from quantkit.graph.operators import layer_weights
from quantkit.graph.plan import Plan, Structure
from quantkit.quantization.choices.compatibility import fit_to_target
from quantkit.quantization.choices.presets import resolve
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.recurrence import compute_together
from quantkit.quantization.choices.settings import (
    FLOAT_LAYER,
    LayerChoice,
    QuantizeSettings,
    choices_of,
    row_of,
)
from quantkit.quantization.choices.sparsity import resolve_sparse
from quantkit.quantization.choices.tiers import resolve_tiers
from quantkit.quantization.kernels.eligibility import (
    UNSEEN,
    reason_to_stay_float,
    reason_to_stay_plain,
)
from quantkit.quantization.prepared import AssignedModel, PreparedModel
from quantkit.quantization.tied_weights import agree, shared_weights
from quantkit.runtime.targets import target
from quantkit.structure.channel_paths import channel_paths, keep_channels
from quantkit.structure.layers import splittable_layers

_PER_CLIP, _PER_BATCH = "dynamic per-clip", "dynamic per-batch"


def prepare(
    source: Path | PreparedModel,
    settings: str | QuantizeSettings | Plan,
    fitting: PtqSettings | None = None,
) -> AssignedModel:
    """Decide what each layer of ``source`` becomes.

    Where ``settings`` split other layers than ``source`` does, the halves get any numbers: for
    those of clips, see :meth:`PreparedModel.structured`.

    Args:
        fitting: None: as the plan says, or the usual way.

    Raises:
        ModelError, FormatError, InputError: see
            :func:`~quantkit.quantization.pipeline.quantize_model`.
    """
    prepared = PreparedModel.of(source)
    settings = settings if isinstance(settings, Plan) else resolve(settings)
    if fitting is None:
        said = settings.fitting if isinstance(settings, Plan) else None
        fitting = PtqSettings() if said is None else PtqSettings.from_json(said)
    skip_passes = () if isinstance(settings, Plan) else settings.skip_passes
    structure = structure_of(prepared, settings)
    if structure != prepared.structure:
        prepared = prepared.structured(structure)
    model = prepared.graph(skip_passes, fitting.balance)
    layers = prepared.layers_of(model)
    if isinstance(settings, Plan):
        _require_own_plan(settings, prepared)
        requested = choices_of(settings, layers)
    else:
        requested = settings.assign(layers)
    choices, notes = settle(model, layers, requested, settings.target_runtime)
    choices, changed = agree(choices, shared_weights(model, layers))
    notes |= changed
    if isinstance(settings, Plan):
        if notes:
            name, note = next(iter(notes.items()))
            raise FormatError(f"layer {name} cannot be what the plan says: {note}")
        plan, notes = settings, {row.name: row.note for row in settings.layers}
    else:
        plan = Plan((), prepared.sha256, settings.name, target_runtime=settings.target_runtime)
    rows = tuple(row_of(layer, choices[layer.name], notes.get(layer.name, "")) for layer in layers)
    plan = replace(
        plan,
        layers=rows,
        model_sha256=prepared.sha256,
        keep_interface=None if prepared.is_usual_interface else prepared.keep_interface,
        fitting=fitting.to_json(),
        structure=structure,
    )
    if not structure and all(choice.is_plain_float for choice in choices.values()):
        # Nothing was requested, so nothing is done.
        model = prepared.copy_original()
    return AssignedModel(prepared, model, layers, choices, plan, fitting, skip_passes)


def structure_of(
    prepared: PreparedModel, settings: str | QuantizeSettings | Plan
) -> Mapping[str, Structure]:
    """What ``settings`` make of layers as a whole; settings that say nothing take what there is.

    Raises:
        InputError: a pattern picks no layer that could be split, or make fewer channels.
    """
    if isinstance(settings, Plan):
        return settings.structure
    settings = resolve(settings)
    if not settings.has_structure:
        return prepared.structure
    model = prepared.whole.graph(settings.skip_passes)
    found: dict[str, Structure] = {}
    if settings.channels:
        found = settings.fewer_channels(prepared.layers_of(model), channel_paths(model))
        keep_channels(model, {name: each.channels for name, each in found.items()}, None)
    if settings.ranks:
        split = settings.structure(prepared.layers_of(model), splittable_layers(model))
        for name, ranks in split.items():
            found[name] = replace(ranks, channels=found.get(name, ranks).channels)
    return found


def structured_by(
    prepared: PreparedModel, settings: QuantizeSettings, feeds: CalibrationData | None
) -> tuple[PreparedModel, QuantizeSettings]:
    """The model with layers as ``settings`` want them as a whole, and settings for the result.

    Args:
        feeds: see :meth:`PreparedModel.structured`.

    Raises:
        InputError: a pattern picks no layer that could be split.
    """
    structure = structure_of(prepared, settings)
    if structure != prepared.structure:
        prepared = prepared.structured(structure, feeds)
    return prepared, replace(settings, ranks=(), channels=())


def settle(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    requested: Mapping[str, LayerChoice],
    target_runtime: str = "",
) -> tuple[dict[str, LayerChoice], dict[str, str]]:
    """The feasible choice of each layer for ``requested``, and the reasons where it differs.

    Args:
        model: float, with its nodes named and optimised; see :class:`PreparedModel`.
        target_runtime: see :class:`~quantkit.quantization.choices.settings.QuantizeSettings`.
    """
    choices, notes = _possible(model, layers, requested)
    if target_runtime:
        choices, replaced = fit_to_target(choices, target(target_runtime))
        notes |= replaced
    choices, parted = compute_together(model, layers, choices)
    notes |= parted
    choices, dense = resolve_sparse(model, layers, choices)
    choices, untiered = resolve_tiers(model, layers, choices)
    return choices, notes | dense | untiered


def _require_own_plan(plan: Plan, prepared: PreparedModel) -> None:
    if plan.model_sha256 and plan.model_sha256 != prepared.sha256:
        raise FormatError(
            f"the plan is for the model with SHA-256 {plan.model_sha256[:12]}…, not for "
            f"{prepared.source} ({prepared.sha256[:12]}…); make a plan for this one"
        )


def _possible(
    model: onnx.ModelProto, layers: Sequence[Layer], requested: Mapping[str, LayerChoice]
) -> tuple[dict[str, LayerChoice], dict[str, str]]:
    """The feasible choice of each layer, and the reasons where it is not the requested one."""
    placed = layer_weights(GraphEditor(model))
    possible: dict[str, LayerChoice] = {}
    notes: dict[str, str] = {}
    for layer in layers:
        choice, weight = requested[layer.name], placed[layer.name]
        unseen = choice.compute == "static" and weight.editor.parent is not None
        if unseen and not choice.is_emulated:
            # The range is found at run time instead.
            notes[layer.name] = UNSEEN
            choice = replace(choice, compute="dynamic", range=_PER_BATCH)
        note = reason_to_stay_float(weight, choice.compute, choice.is_emulated)
        if note:
            codec = choice.codec
            # Integer kernels serve none of these, large as some are: they are stored small.
            kept = codec == INT8 and not weight.operator.stores_small
            # One byte a weight would save little elsewhere, and nothing at run time.
            if kept or codec.name == "blocks":
                codec = FLOAT32
            notes[layer.name], choice = note, LayerChoice("float32", codec)
        if not choice.is_plain_float and (note := reason_to_stay_plain(weight)):
            notes[layer.name], choice = note, FLOAT_LAYER
        if choice.range == _PER_CLIP and not weight.operator.ranges_per_clip:
            notes[layer.name] = f"ONNX Runtime's {layer.op} has one range for the whole batch"
            choice = replace(choice, range=_PER_BATCH)
        possible[layer.name] = choice
    return possible, notes
