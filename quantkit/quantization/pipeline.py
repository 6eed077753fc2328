"""A float32 ``.onnx`` becomes a quantized one: every step in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx

import quantkit
from quantkit.calibration.calibrate import Progress
from quantkit.calibration.feeds import Calibration, Feeds
from quantkit.calibration.observations import Observations
from quantkit.codecs.catalogue import FLOAT32, INT8
from quantkit.errors import FormatError, InputError, ModelError
from quantkit.files import sha256_of
from quantkit.graph.artifact import open_model, save_checked_model, total_size
from quantkit.graph.editor import GraphEditor, fix_defaults, name_all_nodes
from quantkit.graph.gemm import make_gemms_plain
from quantkit.graph.info import ArtifactInfo, info_of, set_info
from quantkit.graph.layers import Layer, find_layers
from quantkit.graph.plan import LayerPlan, Plan
from quantkit.passes import optimise
from quantkit.quantization.calibration_cache import CalibrationCache
from quantkit.quantization.choices.compatibility import fit_to_target, require_target
from quantkit.quantization.choices.fitting import Fitting
from quantkit.quantization.choices.presets import resolve
from quantkit.quantization.choices.settings import (
    FLOAT_LAYER,
    LayerChoice,
    QuantizeSettings,
    choices_of,
    row_of,
)
from quantkit.quantization.choices.sparsity import resolve_sparse
from quantkit.quantization.choices.tiers import resolve_tiers
from quantkit.quantization.encodings import Encodings
from quantkit.quantization.equalize.balancing import insert_balances
from quantkit.quantization.equalize.conditioning import condition
from quantkit.quantization.kernels.eligibility import reason_to_stay_float, reason_to_stay_plain
from quantkit.quantization.observe import observe
from quantkit.quantization.range_search import search_ranges
from quantkit.quantization.rewrite import rewrite
from quantkit.quantization.storage import stored_layers
from quantkit.quantization.tied_weights import agree, separate_transposes, shared_weights
from quantkit.quantization.weights import WeightStore, quantized_weight
from quantkit.runtime.lint import LintReport, lint_model
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.runtime.parallel import cores, workers
from quantkit.runtime.targets import target

# DynamicQuantizeLinear and per-channel QuantizeLinear are both there from opset 13 on.
_LOWEST_OPSET = 13

_QUANTIZED = frozenset(
    {"DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "QLinearConv"}
)


@dataclass(frozen=True)
class QuantizeResult:
    """What :func:`quantize_model` wrote.

    Args:
        path: the new artifact.
        plan: what each layer became; ``note`` says why one is not what was asked for.
        size_bytes: of the artifact with its external files.
        source_bytes: the same of the float32 model.
        lint: which kernels ONNX Runtime really runs.
        skipped: calibration clips that were left out, and why.
        conditioned: what was done to the float model first, in words.
    """

    path: Path
    plan: Plan
    size_bytes: int
    source_bytes: int
    lint: LintReport
    skipped: tuple[str, ...] = ()
    conditioned: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[LayerPlan, ...]:
        """The rows of the plan."""
        return self.plan.layers


@dataclass(frozen=True)
class Prepared:
    """A float32 model with a choice for every layer, before anything is rewritten.

    Args:
        model: with all nodes named.
        info: its metadata.
        layers: what can be quantized.
        choices: what each layer becomes.
        plan: the same as a plan, without sizes; notes say why where it is not what was asked for.
        fitting: how the numbers will be found.
        skip_passes: see :class:`~quantkit.quantization.choices.settings.QuantizeSettings`.
    """

    model: onnx.ModelProto
    info: ArtifactInfo
    layers: tuple[Layer, ...]
    choices: Mapping[str, LayerChoice]
    plan: Plan
    fitting: Fitting = field(default_factory=Fitting)
    skip_passes: tuple[str, ...] = ()


def quantize_model(
    source: Path,
    destination: Path,
    settings: str | QuantizeSettings | Plan,
    calibration: Calibration | Feeds | None = None,
    *,
    pack: bool = True,
    fitting: Fitting | None = None,
    shared: CalibrationCache | None = None,
    progress: Progress | None = None,
) -> QuantizeResult:
    """Quantize the float32 model ``source`` and write it to ``destination``.

    ::

        quantize_model(Path("float32.onnx"), Path("int8.onnx"), "static-int8", corpus)

    Args:
        settings: a preset's name, settings of one's own, or a plan for this model.
        calibration: unlabelled clips; needed when a layer is static. Weights of fewer than 8
            bits are fitted to what they meet there, too.
        pack: store weights as their codec says; else the same integers one byte each, for
            comparison: the results are equal bit for bit.
        fitting: how the numbers are found; None: as the plan says, or the usual way.
        shared: what an analysis has heard and encoded already; None: nothing.
        progress: see :data:`~quantkit.calibration.calibrate.Progress`.

    Raises:
        ModelError: ``source`` is damaged, already quantized, or has nothing to quantize.
        FormatError: the plan is for another model, asks for what cannot be, or leads to a file
            beyond its budget.
        InputError: unknown preset, an exclusion that matches nothing, or no calibration clips
            where a layer needs them.
        CorpusError: none of the calibration clips is usable.
        OutputError: ``destination`` cannot be written.
    """
    prepared = prepare(source, settings, fitting)
    unchanged = all(choice.is_plain_float for choice in prepared.choices.values())
    in_place = _same_file(source, destination)
    if in_place and not unchanged:
        raise InputError(
            f"{destination} is the float32 model itself; write the result to another file"
        )
    source_bytes = total_size(source)
    feeds = None if calibration is None else Feeds.of(calibration, prepared.info, source)
    conditioned = condition(
        prepared.model, prepared.layers, prepared.choices, feeds, prepared.fitting, shared=shared
    )
    observations = observations_of(prepared, feeds, progress, shared)
    encodings = Encodings() if shared is None else shared.encodings
    _encode_ahead(prepared, observations, encodings)
    weights = WeightStore(
        {name: choice.codec.make() for name, choice in prepared.choices.items()},
        observations,
        prepared.fitting,
        encodings=encodings,
    )
    model, plan = build(prepared, observations, weights, pack=pack)
    # Checking the file takes as much memory again.
    del prepared, observations, weights, encodings
    malloc_trim()
    if in_place:
        lint = lint_model(source)
    else:
        lint = save_checked_model(model, destination, lambda path: _checked(path, plan))
    return QuantizeResult(
        path=destination,
        plan=plan,
        size_bytes=total_size(destination),
        source_bytes=source_bytes,
        lint=lint,
        skipped=() if feeds is None else tuple(feeds.skipped),
        conditioned=conditioned,
    )


def _encode_ahead(prepared: Prepared, observations: Observations, encodings: Encodings) -> None:
    """Encode the weights side by side; rewriting, layer by layer, then finds them."""
    editor = GraphEditor(prepared.model)
    nodes = {node.name: node for node in editor.nodes}
    # The largest first, so that no thread waits long for the last.
    ordered = sorted(prepared.layers, key=lambda layer: -layer.parameters)

    def encode(layer: Layer) -> None:
        codec = prepared.choices[layer.name].codec
        quantized_weight(
            editor, nodes[layer.name], codec, observations, prepared.fitting, encodings
        )

    # Kernels read weights of convolutions in orders of their own.
    wanted = [
        layer
        for layer in ordered
        if layer.op in ("MatMul", "Gemm") and not prepared.choices[layer.name].is_plain_float
    ]
    with workers(cores()) as pool:
        list(pool.map(encode, wanted))


def _checked(path: Path, plan: Plan) -> LintReport:
    """Which kernels run, for a file that keeps to the budget of its plan."""
    size = total_size(path)
    if plan.budget_bytes is not None and size > plan.budget_bytes:
        raise FormatError(
            f"the file would take {size:,} bytes, more than the plan's budget of "
            f"{plan.budget_bytes:,}: give layers fewer bits, or the plan a larger budget"
        )
    return lint_model(path)


def prepare(
    source: Path, settings: str | QuantizeSettings | Plan, fitting: Fitting | None = None
) -> Prepared:
    """Read ``source`` and decide what each of its layers becomes.

    Args:
        fitting: None: as the plan says, or the usual way.

    Raises:
        ModelError, FormatError, InputError: see :func:`quantize_model`.
    """
    model = open_model(source)
    info = info_of(model, str(source))
    settings = settings if isinstance(settings, Plan) else resolve(settings)
    if fitting is None:
        fitting = Fitting.from_json(settings.fitting if isinstance(settings, Plan) else {})
    skip_passes = () if isinstance(settings, Plan) else settings.skip_passes
    _refuse_quantized(model, info, source)
    fix_defaults(model)
    name_all_nodes(model)
    make_gemms_plain(model)
    optimise(model, skip_passes)
    separate_transposes(model)
    insert_balances(model, fitting.balance)
    layers = tuple(_layers(model, source))
    digest = sha256_of(source)
    if isinstance(settings, Plan):
        asked = _planned(settings, layers, digest, source)
    else:
        asked = settings.assign(layers)
    choices, notes = settle(model, layers, asked, settings.target_runtime)
    choices, changed = agree(choices, shared_weights(model, layers))
    notes |= changed
    if isinstance(settings, Plan):
        if notes:
            name, note = next(iter(notes.items()))
            raise FormatError(f"layer {name} cannot be what the plan says: {note}")
        plan, notes = settings, {row.name: row.note for row in settings.layers}
    else:
        plan = Plan((), digest, settings.name, target_runtime=settings.target_runtime)
    rows = tuple(row_of(layer, choices[layer.name], notes.get(layer.name, "")) for layer in layers)
    plan = replace(plan, layers=rows, model_sha256=digest, fitting=fitting.to_json())
    if all(choice.is_plain_float for choice in choices.values()):
        # Nothing is asked for, so nothing is done.
        model = open_model(source, check=False)
    return Prepared(model, info, layers, choices, plan, fitting, skip_passes)


def build(
    prepared: Prepared, observations: Observations, weights: WeightStore, *, pack: bool = True
) -> tuple[onnx.ModelProto, Plan]:
    """The quantized model and its plan with the bytes of each layer.

    The float model in ``prepared`` is used up.
    """
    model = rewrite(
        prepared.model,
        prepared.choices,
        observations.ranges,
        weights,
        pack=pack,
        skip_passes=prepared.skip_passes,
    )
    if prepared.plan.target_runtime:
        require_target(model, target(prepared.plan.target_runtime))
    stored = {layer.name: layer.bytes for layer in stored_layers(model)}
    rows = tuple(replace(row, bytes=stored.get(row.name, 0)) for row in prepared.plan.layers)
    plan = replace(prepared.plan, layers=rows)
    unchanged = all(choice.is_plain_float for choice in prepared.choices.values())
    if not unchanged or prepared.info.plan is None:
        set_info(
            model,
            replace(
                prepared.info,
                plan=plan.to_json(),
                model_sha256=plan.model_sha256,
                version=quantkit.__version__,
            ),
        )
    return model, plan


def _refuse_quantized(model: onnx.ModelProto, info: ArtifactInfo, source: Path) -> None:
    made_by = [row for row in (info.plan or {}).get("layers", []) if row.get("codec") != "float32"]
    if made_by:
        raise ModelError(
            f"{source} is quantized already (layer {made_by[0].get('name')} is stored as "
            f"{made_by[0].get('codec')}); give the float32 model"
        )
    found = sorted({node.op_type for node in model.graph.node} & _QUANTIZED)
    if found:
        raise ModelError(
            f"{source} is quantized already (it has {', '.join(found)}); give the float32 model"
        )


def _layers(model: onnx.ModelProto, source: Path) -> list[Layer]:
    editor = GraphEditor(model)
    if editor.opset < _LOWEST_OPSET:
        raise ModelError(
            f"{source} has opset {editor.opset}; quantizing needs {_LOWEST_OPSET} or later: "
            "export it anew"
        )
    layers = find_layers(model)
    if not layers:
        raise ModelError(f"{source} has no Conv, MatMul, Gemm or Gather with a constant weight")
    return layers


def _planned(
    plan: Plan, layers: Sequence[Layer], digest: str, source: Path
) -> dict[str, LayerChoice]:
    if plan.model_sha256 and plan.model_sha256 != digest:
        raise FormatError(
            f"the plan is for the model with SHA-256 {plan.model_sha256[:12]}…, not for {source} "
            f"({digest[:12]}…); make a plan for this one"
        )
    return choices_of(plan, layers)


def settle(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    asked: Mapping[str, LayerChoice],
    target_runtime: str = "",
) -> tuple[dict[str, LayerChoice], dict[str, str]]:
    """What each layer becomes on its own when ``asked`` is asked for, and why where it differs.

    Args:
        model: float, with its nodes named and optimised; see :attr:`Prepared.model`.
        target_runtime: see :class:`~quantkit.quantization.choices.settings.QuantizeSettings`.
    """
    choices, notes = _possible(model, layers, asked)
    if target_runtime:
        choices, replaced = fit_to_target(choices, target(target_runtime))
        notes |= replaced
    choices, dense = resolve_sparse(model, layers, choices)
    choices, untiered = resolve_tiers(model, layers, choices)
    return choices, notes | dense | untiered


def _possible(
    model: onnx.ModelProto, layers: Sequence[Layer], asked: Mapping[str, LayerChoice]
) -> tuple[dict[str, LayerChoice], dict[str, str]]:
    """What each layer can be, and why where it is not what was asked for."""
    editor = GraphEditor(model)
    nodes = {node.name: node for node in editor.nodes}
    possible: dict[str, LayerChoice] = {}
    notes: dict[str, str] = {}
    for layer in layers:
        choice, node = asked[layer.name], nodes[layer.name]
        note = reason_to_stay_float(editor, node, choice.compute, choice.is_emulated)
        if note:
            codec = choice.codec
            # Integer kernels serve none of these, large as some are: they are stored small.
            kept = codec == INT8 and layer.op not in ("Gather", "ConvTranspose")
            # One byte a weight would save little elsewhere, and nothing at run time.
            if kept or codec.name == "blocks":
                codec = FLOAT32
            notes[layer.name], choice = note, LayerChoice("float32", codec)
        if not choice.is_plain_float and (note := reason_to_stay_plain(editor, node)):
            notes[layer.name], choice = note, FLOAT_LAYER
        possible[layer.name] = choice
    return possible, notes


def observations_of(
    prepared: Prepared,
    feeds: Feeds | None,
    progress: Progress | None = None,
    shared: CalibrationCache | None = None,
) -> Observations:
    """What must be known about the values in ``prepared`` to build it.

    Raises:
        InputError: clips are needed, and there are none.
        CorpusError, ModelError: see :func:`~quantkit.calibration.calibrate.calibrate`.
    """
    model, layers, choices = prepared.model, prepared.layers, prepared.choices
    if feeds is None and any(choice.compute == "static" for choice in choices.values()):
        raise InputError(
            f"{prepared.plan.method} has static layers and needs calibration clips: give a "
            "folder of audio (--audio DIR)"
        )
    seen = Observations()
    if feeds is not None:
        heard = None if shared is None else shared.trackers(model, feeds)
        seen = observe(
            model, layers, choices, feeds, prepared.fitting, heard=heard, progress=progress
        )
    return search_ranges(model, layers, choices, seen, prepared.fitting)


def _same_file(one: Path, other: Path) -> bool:
    return other.exists() and one.resolve() == other.resolve()
