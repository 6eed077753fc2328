"""From a budget to how every layer is stored and computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantkit.api.analyze import AnalyzeResult
from quantkit.api.begin import Begin, nothing
from quantkit.api.defaults import ANALYSIS_CLIPS
from quantkit.api.folders import kept_in_plan
from quantkit.api.inputs import (
    Audio,
    Budget,
    PathLike,
    budget_bytes,
    float_model,
    optional_path,
    path_of,
)
from quantkit.api.listening import Cache, cache_folder, calibration_clips, in_words, left_out
from quantkit.api.outputs import require_suffix, require_writable
from quantkit.api.plan_fitting import fitting_of
from quantkit.api.plan_question import PlanQuestion, by_method, optimal
from quantkit.api.plan_result import PlanResult
from quantkit.api.plan_settings import PlanSettings
from quantkit.audio.selection import Selection
from quantkit.audio.utterance import Corpus
from quantkit.calibration.heard import doubts, require_heard
from quantkit.errors import InputError
from quantkit.graph.plan import Plan, read_plan, write_plan
from quantkit.planning.budget import generous_budget
from quantkit.planning.correction import Correction
from quantkit.planning.load_limit import require_openable
from quantkit.planning.size import with_sizes
from quantkit.progress import Progress
from quantkit.quantization.prepare import structured_by
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.table import Sensitivity, read_sensitivity
from quantkit.tasks.catalogue import task_of


def plan(
    model: PathLike,
    budget: Budget | None = None,
    *,
    method: str = "optimal",
    sensitivity: Sensitivity | AnalyzeResult | PathLike | None = None,
    audio: Audio | None = None,
    sample_rate: float | None = None,
    selection: Selection | None = None,
    settings: PlanSettings | None = None,
    keep_interface: bool | None = None,
    output: PathLike | None = None,
    cache: Cache = True,
    begin: Begin = nothing,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> PlanResult:
    """Decide how the layers of a float32 model are stored, and what the file will take.

    >>> import quantkit
    >>> made = quantkit.plan("float32.onnx", "3MB", audio="recordings")  # doctest: +SKIP
    >>> made.predicted_bytes  # doctest: +SKIP
    2999871

    Args:
        model: a float32 ``.onnx``, or what :func:`quantkit.export` takes.
        budget: what the file may take on disk: ``"20MB"``, ``"19.5MiB"``, or bytes. Only the
            method ``manual`` can do without.
        method: one of :data:`~quantkit.api.plan_settings.PLAN_METHODS`.
        sensitivity: what :func:`quantkit.analyze` returned or wrote for this model; None: it is
            analysed here, where the method needs it.
        audio: unlabelled clips to analyse the model and to try plans on: a folder, a file, a
            :class:`~quantkit.audio.utterance.Corpus`, an array, or a list of files and arrays.
        sample_rate: of arrays, in hertz.
        selection: which clips; None: 32 of the split ``calibration``, where there is one.
        settings: how the plan is made.
        keep_interface: see :func:`quantkit.quantize`; the size of the file depends on it, and the
            plan says it.
        output: the ``plan.json`` to write; None: none.
        cache: where an analysis is kept for the next time: True, the user's cache folder; False,
            nowhere; or a folder.
        begin: see :data:`~quantkit.api.begin.Begin`.
        progress: see :data:`~quantkit.progress.Progress`.
        notify: is told what makes results less sure.

    Raises:
        InputError: no plan keeps to the budget, the message says what is possible; or settings
            that contradict each other, or something that the method needs is missing.
        ModelError: ``model`` is damaged, quantized already, or fails on a clip.
        FormatError: the sensitivity table or the times are unreadable or of another model.
        AudioError, CorpusError: none of the clips is usable, or an array is no audio.
        OutputError: a result cannot be written.
    """
    settings = settings or PlanSettings()
    settings.require_known_to(method)
    destination = optional_path(output, "the output")
    require_suffix(destination, ".json")
    fronts = [path_of(front, "the front") for front in settings.fronts]
    outputs = [destination, optional_path(settings.times, "the times"), *fronts]
    table = None if isinstance(sensitivity, Sensitivity | AnalyzeResult) else sensitivity
    require_writable(outputs, [path_of(model, "the model"), optional_path(table, "the table")])
    limit = None if budget is None else budget_bytes(budget)
    load_limit = settings.load_bytes
    folder = cache_folder(cache)
    clips = None
    if audio is not None:
        clips = calibration_clips(
            audio, sample_rate, selection, clips=ANALYSIS_CLIPS, outputs=outputs
        )
    if limit is None and method != "manual":
        raise InputError(f"--method {method} needs a --budget")
    found: Correction | None = None
    with float_model(model, begin) as source:
        prepared = PreparedModel(source, kept_in_plan(model, keep_interface))
        feeds = None if clips is None else prepared.feeds(clips)
        prepared, decided = structured_by(prepared, settings.quantize, feeds)
        settings = replace(settings, quantize=decided)
        # A pattern that matches nothing is found out before anything is listened to.
        settings.quantize.assign(prepared.layers_of(prepared.graph(settings.quantize.skip_passes)))
        begin(_steps(model, method, limit, clips))
        if feeds is not None:
            require_heard(prepared.original, feeds)
        if limit is None or method == "manual":
            decisions = replace(settings.quantize, name="manual")
            made = with_sizes(prepared, decisions, limit, settings.fitting)
        else:
            question = PlanQuestion(
                prepared, limit, settings, _table(sensitivity), feeds, folder, progress, notify
            )
            if method == "optimal":
                found = optimal(question)
                made = found.optimum.plan
            else:
                made = by_method(question, method)
        if found is None:
            require_openable(prepared, made, load_limit)
    warnings = () if limit is None else generous_budget(limit, prepared.whole.size_bytes)
    if feeds is not None:
        warnings = (*warnings, *doubts(feeds))
    result = PlanResult(made, task_of(prepared.info).unit, found, left_out(feeds), warnings)
    return _finished(result, destination)


def resize_plan(
    model: PathLike,
    edited: Plan | PathLike,
    budget: Budget | None = None,
    *,
    settings: PlanSettings | None = None,
    changes: Mapping[str, Any] | None = None,
    keep_interface: bool | None = None,
    output: PathLike | None = None,
    begin: Begin = nothing,
) -> PlanResult:
    """The sizes of a plan that was edited by hand, computed anew.

    Args:
        model: a float32 ``.onnx``, or what :func:`quantkit.export` takes.
        edited: the plan, or its file.
        budget: see :func:`plan`; is checked, and noted in the plan.
        settings: only their fitting matters; None: as the plan says.
        changes: fields of the plan's own fitting, by name, that have other values now; see
            :class:`~quantkit.quantization.choices.ptq.PtqSettings`.
        keep_interface: see :func:`plan`; None: as the plan says.
        output: the ``plan.json`` to write; None: none.
        begin: see :data:`~quantkit.api.begin.Begin`.

    Raises:
        InputError: the plan takes more than the budget.
        FormatError: the plan is unreadable, or of another model.
        ModelError: ``model`` is damaged or quantized already.
        OutputError: ``output`` cannot be written.
    """
    settings = settings or PlanSettings()
    settings.require_known_to("manual")
    destination = optional_path(output, "the output")
    require_suffix(destination, ".json")
    require_writable([destination], [path_of(model, "the model")])
    limit = None if budget is None else budget_bytes(budget)
    before = edited if isinstance(edited, Plan) else read_plan(path_of(edited, "the plan"))
    with float_model(model, begin) as source:
        kept = before.keep_interface if keep_interface is None else keep_interface
        prepared = PreparedModel(source, kept_in_plan(model, kept))
        begin(_steps(model, "manual", limit, None))
        fitting = settings.fitting or fitting_of(before, changes)
        made = with_sizes(prepared, replace(before, method="manual"), limit, fitting)
        require_openable(prepared, made, settings.load_bytes)
    return _finished(PlanResult(made, task_of(prepared.info).unit), destination)


def _steps(model: PathLike, method: str, limit: int | None, clips: Corpus | None) -> str:
    """What follows, in words."""
    within = f" within {limit:,} bytes" if limit else ""
    calibrated = f", on {in_words(clips)}" if clips else ""
    return f"plan {model} by method {method}{within}{calibrated}"


def _finished(result: PlanResult, destination: Path | None) -> PlanResult:
    """Write the plan, if it keeps to its budget."""
    size, limit = result.predicted_bytes, result.plan.budget_bytes
    if limit is not None and size > limit:
        raise InputError(
            f"the plan takes {size:,} bytes, more than the budget of {limit:,}; "
            "give layers fewer bits, or raise the budget"
        )
    if destination is not None:
        write_plan(result.plan, destination)
    return result


def _table(sensitivity: Sensitivity | AnalyzeResult | PathLike | None) -> Sensitivity | None:
    if isinstance(sensitivity, AnalyzeResult):
        return sensitivity.sensitivity
    if sensitivity is None or isinstance(sensitivity, Sensitivity):
        return sensitivity
    return read_sensitivity(path_of(sensitivity, "the table"))
