"""A float32 ``.onnx`` becomes a quantized one: every step in order."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx
from threadpoolctl import threadpool_limits

from quantkit.calibration.data import Calibration, CalibrationData
from quantkit.calibration.heard import doubts, require_heard
from quantkit.calibration.observations import Observations
from quantkit.errors import FormatError, InputError
from quantkit.exporting.unwrapping import unwrap
from quantkit.graph.artifact import save_checked_model, total_size
from quantkit.graph.editor import GraphEditor
from quantkit.graph.info import set_info
from quantkit.graph.layers import Layer
from quantkit.graph.operators import layer_weights
from quantkit.graph.plan import LayerPlan, Plan, Structure
from quantkit.graph.provenance import PROVENANCE, provenance_now
from quantkit.progress import Progress
from quantkit.quantization.choices.compatibility import require_target
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import (
    QuantizeSettings,
)
from quantkit.quantization.nothing_quantized import require_quantized
from quantkit.quantization.observe import observe
from quantkit.quantization.prepare import prepare, structure_of
from quantkit.quantization.prepared import AssignedModel, PreparedModel
from quantkit.quantization.range_search import search_ranges
from quantkit.quantization.rewrite import rewrite
from quantkit.quantization.storage import stored_layers
from quantkit.quantization.unusable_clips import leaving_out
from quantkit.quantization.weights import WeightStore, quantized_weight
from quantkit.runtime.lint import LintReport, lint_model
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.runtime.parallel import cores, workers
from quantkit.runtime.targets import target
from quantkit.text.changes import TextChanges
from quantkit.version import __version__

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class QuantizeResult:
    """What :func:`quantize_model` wrote.

    Args:
        path: the new artifact.
        plan: the choice of each layer; ``note`` gives the reason if it is not the requested one.
        size_bytes: of the artifact with its external files.
        source_bytes: the same of the float32 model.
        lint: which kernels ONNX Runtime really runs.
        skipped: calibration clips that were left out, and why.
        conditioned: what was done to the float model first, in words.
        warnings: what makes the calibration less sure.
        changes: of the texts from the float model's; None if they were not compared.
        divergence: of the posteriors likewise, in nats per ``unit``.
        compared_clips: on which both were found.
    """

    path: Path
    plan: Plan
    size_bytes: int
    source_bytes: int
    lint: LintReport
    skipped: tuple[str, ...] = ()
    conditioned: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    changes: TextChanges | None = None
    divergence: float | None = None
    unit: str = "frame"
    compared_clips: int = 0

    @property
    def changed_in_words(self) -> str:
        """How far texts and posteriors are from the float model's; empty if unknown."""
        if self.divergence is None:
            return ""
        clips = "1 clip" if self.compared_clips == 1 else f"{self.compared_clips} clips"
        texts = "" if self.changes is None else f"{self.changes.in_words}; "
        return f"{texts}{self.divergence:.2g} nats per {self.unit} on {clips}"

    @property
    def layers(self) -> tuple[LayerPlan, ...]:
        """The rows of the plan."""
        return self.plan.layers

    def to_dict(self) -> dict[str, Any]:
        """For programs: ``quantkit quantize --json``."""
        return {
            "path": str(self.path),
            "method": self.plan.method,
            "size_bytes": self.size_bytes,
            "source_bytes": self.source_bytes,
            "onnxruntime": self.lint.onnxruntime,
            "skipped_clips": list(self.skipped),
            "warnings": list(self.warnings),
            "changes": None if self.changes is None else self.changes.to_json(),
            "divergence": self.divergence,
            "compared_clips": self.compared_clips,
            "layers": self.rows(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row per layer, with the kernel that really runs, for ``pandas.DataFrame``."""
        return [
            layer.to_row() | {"kernel": row.kernel, "status": row.status, "remark": row.remark}
            for layer, row in zip(self.layers, self.lint.rows, strict=True)
        ]


def quantize_model(
    source: Path | PreparedModel,
    destination: Path,
    settings: str | QuantizeSettings | Plan,
    calibration: Calibration | CalibrationData | None = None,
    *,
    pack: bool = True,
    allow_nothing: bool = True,
    fitting: PtqSettings | None = None,
    last_use: bool = False,
    progress: Progress | None = None,
) -> QuantizeResult:
    """Quantize the float32 model ``source`` and write it to ``destination``.

    ::

        quantize_model(Path("float32.onnx"), Path("int8.onnx"), "static-int8", corpus)

    Args:
        source: its path, or the model that an earlier step has prepared: what that step has
            observed and encoded is not done again.
        settings: a preset's name, settings of one's own, or a plan for this model.
        calibration: unlabelled clips; needed when a layer is static. Weights of fewer than 8
            bits are fitted to what they meet there, too.
        pack: store weights as their codec says; else the same integers one byte each, for
            comparison: the results are equal bit for bit.
        allow_nothing: whether all layers may stay float32 although they were to be quantized.
        fitting: how the numbers are found; None: as the plan says, or the usual way.
        last_use: nothing else will use the cache of ``source``: it is emptied before the file is
            checked, which takes much memory.
        progress: see :data:`~quantkit.progress.Progress`.

    Raises:
        ModelError: ``source`` is damaged, or quantized already.
        NothingQuantized: it has no layer, or all of them would stay float32; nothing is written.
        FormatError: the plan is for another model, is not feasible, or leads to a file beyond its
            budget.
        InputError: unknown preset, a pattern that matches no layer, or no calibration clips
            where a layer needs them.
        CorpusError: none of the calibration clips is usable, or the model hears nothing in them.
        OutputError: ``destination`` cannot be written.
    """
    prepared = PreparedModel.of(source)
    in_place = _same_file(prepared.source, destination)
    source_bytes = prepared.whole.size_bytes
    feeds = None if calibration is None else prepared.feeds(calibration)
    observing = partial(
        choices_and_observations,
        prepared,
        destination,
        settings,
        fitting,
        feeds,
        allow_nothing,
        progress,
    )
    assigned, observations = leaving_out(prepared, feeds, observing)
    conditioned = assigned.conditioned
    _LOG.info("%d layers are observed; their weights are next", len(assigned.layers))
    limits = assigned.largest_levels()
    encode_ahead(assigned, observations, limits)
    weights = WeightStore(
        {name: choice.codec.make() for name, choice in assigned.choices.items()},
        observations,
        assigned.fitting,
        encodings=prepared.cache.encodings,
        largest_levels=limits,
    )
    # How many threads share a product decides in which order it is summed up: weights that were not
    # encoded ahead would have other last digits with other numbers of cores.
    with threadpool_limits(1, user_api="blas"):
        model, plan = build(assigned, observations, weights, feeds, pack=pack)
    # Weights that are still to be saved may lie in its folder.
    worked_on = assigned.prepared
    # Checking the file takes as much memory again.
    if last_use:
        prepared.cache.clear()
    if last_use or worked_on is not source:
        worked_on.cache.clear()
    del prepared, assigned, observations, weights, observing
    malloc_trim()
    if in_place:
        lint = lint_model(destination)
    else:
        lint = save_checked_model(model, destination, lambda path: lint_within_budget(path, plan))
    _LOG.info("%s is written and runs", destination)
    return QuantizeResult(
        path=destination,
        plan=plan,
        size_bytes=total_size(destination),
        source_bytes=source_bytes,
        lint=lint,
        skipped=() if feeds is None else feeds.left_out,
        conditioned=conditioned,
        warnings=() if feeds is None else doubts(feeds),
    )


def choices_and_observations(
    prepared: PreparedModel,
    destination: Path,
    settings: str | QuantizeSettings | Plan,
    fitting: PtqSettings | None,
    feeds: CalibrationData | None,
    allow_nothing: bool,
    progress: Progress | None,
) -> tuple[AssignedModel, Observations]:
    """The choices for all layers, and what the clips show of them."""
    structure = structure_of(prepared, settings)
    if structure != prepared.structure or prepared.is_stand_in:
        prepared = prepared.structured(structure, _required(feeds, structure))
    assigned = prepare(prepared, settings, fitting)
    if not allow_nothing:
        require_quantized([assigned])
    if _same_file(prepared.source, destination) and not assigned.is_unchanged:
        raise InputError(
            f"{destination} is the float32 model itself; write the result to another file"
        )
    if feeds is not None:
        require_heard(prepared.original, feeds)
    assigned.condition(feeds)
    return assigned, observations_of(assigned, feeds, progress)


def _required(
    feeds: CalibrationData | None, structure: Mapping[str, Structure]
) -> CalibrationData | None:
    if feeds is None and structure:
        name, found = next(iter(structure.items()))
        what = "rank" if found.is_split else "number of channels"
        raise InputError(
            f"the {what} of layer {name} needs clips, to find what its output is made of: give a "
            "folder of audio (--audio DIR)"
        )
    return feeds


def encode_ahead(
    assigned: AssignedModel, observations: Observations, limits: Mapping[str, int]
) -> None:
    """Encode the weights side by side; rewriting, layer by layer, then finds them."""
    placed = layer_weights(GraphEditor(assigned.model))
    # The largest first, so that no thread waits long for the last.
    ordered = sorted(assigned.layers, key=lambda layer: -layer.parameters)

    def encode(layer: Layer) -> None:
        codec = assigned.choices[layer.name].codec
        quantized_weight(
            placed[layer.name],
            codec,
            observations,
            assigned.fitting,
            assigned.prepared.cache.encodings,
            largest_level=limits.get(layer.name),
        )

    # Kernels read weights of convolutions in orders of their own.
    wanted = [
        layer
        for layer in ordered
        if not placed[layer.name].operator.is_reordered
        and not assigned.choices[layer.name].is_plain_float
    ]
    with workers(cores()) as pool:
        list(pool.map(encode, wanted))


def lint_within_budget(path: Path, plan: Plan) -> LintReport:
    """Which kernels run, for a file that keeps to the budget of its plan."""
    size = total_size(path)
    if plan.budget_bytes is not None and size > plan.budget_bytes:
        raise FormatError(
            f"the file would take {size:,} bytes, more than the plan's budget of "
            f"{plan.budget_bytes:,}: give layers fewer bits, or the plan a larger budget"
        )
    return lint_model(path)


def build(
    assigned: AssignedModel,
    observations: Observations,
    weights: WeightStore,
    feeds: CalibrationData | None = None,
    *,
    pack: bool = True,
) -> tuple[onnx.ModelProto, Plan]:
    """The quantized model and its plan with the bytes of each layer.

    The float model in ``assigned`` is used up.

    Args:
        feeds: what ``observations`` and ``weights`` were found on, for the metadata.
    """
    model = rewrite(
        assigned.model,
        assigned.choices,
        observations.ranges,
        weights,
        pack=pack,
        skip_passes=assigned.skip_passes,
    )
    if assigned.plan.target_runtime:
        require_target(model, target(assigned.plan.target_runtime))
    stored = {layer.name: layer.bytes for layer in stored_layers(model)}
    rows = tuple(replace(row, bytes=stored.get(row.name, 0)) for row in assigned.plan.layers)
    plan = replace(assigned.plan, layers=rows)
    if not assigned.is_unchanged or assigned.info.plan is None:
        made_from = (feeds.digest(), feeds.clips, feeds.seconds) if feeds is not None else ()
        provenance = provenance_now(*made_from).to_json()
        set_info(
            model,
            replace(
                assigned.info,
                plan=plan.to_json(),
                model_sha256=plan.model_sha256,
                version=__version__,
                extra={**assigned.info.extra, PROVENANCE: provenance},
            ),
        )
    if assigned.prepared.keep_interface:
        unwrap(model)
    return model, plan


def observations_of(
    assigned: AssignedModel, feeds: CalibrationData | None, progress: Progress | None = None
) -> Observations:
    """What must be known about the values in ``assigned`` to build it.

    Raises:
        InputError: clips are needed, and there are none.
        CorpusError, ModelError: see :func:`~quantkit.calibration.calibrate.calibrate`.
    """
    choices = assigned.choices
    if feeds is None and any(choice.compute == "static" for choice in choices.values()):
        raise InputError(
            f"{assigned.plan.method} has static layers and needs calibration clips: give a "
            "folder of audio (--audio DIR)"
        )
    seen = Observations() if feeds is None else observe_cached(assigned, feeds, progress)
    return search_ranges(assigned.model, assigned.layers, choices, seen, assigned.fitting)


def observe_cached(
    assigned: AssignedModel, feeds: CalibrationData, progress: Progress | None = None
) -> Observations:
    """What ``feeds`` show of the layers of ``assigned``; what was observed before is not again.

    Raises:
        CorpusError, ModelError: see :func:`~quantkit.calibration.calibrate.calibrate`.
    """
    done = 0.0

    def advance(share: float) -> None:
        nonlocal done
        done += share
        if progress is not None:
            progress("calibrating", min(1.0, done / feeds.clips))

    return observe(
        assigned.model,
        assigned.layers,
        assigned.choices,
        feeds,
        assigned.fitting,
        observed=assigned.prepared.cache.trackers(assigned.graph_sha256(), feeds.digest()),
        advance=advance,
    )


def _same_file(one: Path, other: Path) -> bool:
    return other.exists() and one.resolve() == other.resolve()
