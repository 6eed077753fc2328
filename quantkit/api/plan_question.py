"""What :func:`quantkit.plan` asks its methods, and where it gets what they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from quantkit.api.inputs import optional_path, path_of
from quantkit.api.plan_settings import PlanSettings
from quantkit.calibration.data import CalibrationData
from quantkit.errors import InputError
from quantkit.graph.plan import Plan
from quantkit.planning.best_plan import PlanLimits, best_plan
from quantkit.planning.budget import parse_latency
from quantkit.planning.correction import ROUNDS, Correction
from quantkit.planning.front_file import require_front_form, write_front
from quantkit.planning.latency import LayerTimes, read_layer_times, write_layer_times
from quantkit.planning.measure_latency import measure_layer_times
from quantkit.planning.methods import PlanRequest, method_named
from quantkit.planning.methods.precisions import codec_widths
from quantkit.planning.pareto import pareto_front
from quantkit.progress import Progress
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.target_cpu import UNRESTRICTED, restricts
from quantkit.quantization.prepared import PreparedModel
from quantkit.quantization.unusable_clips import leaving_out
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import CANDIDATES, DivergenceSettings
from quantkit.sensitivity.table import Sensitivity


@dataclass(frozen=True)
class PlanQuestion:
    """The request to every planning method.

    Args:
        model: the float model.
        budget: bytes.
        settings: how the plan is made.
        table: of sensitivities, where there is one.
        feeds: unlabelled clips, where there are some.
        cache: folder that keeps analyses; None: none.
        progress: see :data:`~quantkit.progress.Progress`.
        notify: is told what makes results less sure.
    """

    model: PreparedModel
    budget: int
    settings: PlanSettings
    table: Sensitivity | None
    feeds: CalibrationData | None
    cache: Path | None
    progress: Progress | None = None
    notify: Callable[[str], None] | None = None

    @property
    def fitting(self) -> PtqSettings:
        """How the numbers will be found."""
        return self.settings.fitting or PtqSettings()

    def sensitivity(self, analysis: AnalysisSettings) -> Sensitivity:
        """The table that was given, or one made from the audio.

        Raises:
            InputError: there is neither.
        """
        if self.table is not None:
            # A table of another model is refused by whoever uses it.
            own = self.table.model_sha256 == self.model.sha256
            doubt = _of_another_target(self.table, self.fitting) if own else ""
            if self.notify is not None and doubt:
                self.notify(doubt)
            return self.table
        if self.feeds is None:
            raise InputError(
                "this method decides by what layers do to the output: give --audio DIR with "
                "unlabelled clips, or --sensitivity FILE from `quantkit analyze`; --method uniform "
                "needs neither"
            )
        return analyze(
            self.model,
            self.feeds,
            analysis,
            cache=self.cache,
            progress=self.progress,
            notify=self.notify,
        )


def _of_another_target(table: Sensitivity, fitting: PtqSettings) -> str:
    """A warning where divergences were measured with other levels of the weights; else empty."""
    said = table.settings.get("fitting")
    made_for = said.get("target_cpu", UNRESTRICTED) if isinstance(said, Mapping) else UNRESTRICTED
    measured = any(layer.weights for layer in table.layers)
    if not measured or restricts(made_for) == restricts(fitting.target_cpu):
        return ""
    return (
        f"the sensitivity table was made for --target-cpu {made_for}, and the plan is for "
        f"{fitting.target_cpu}: its divergences are those of other levels; analyze anew, or give "
        f"--target-cpu {made_for}"
    )


def optimal(question: PlanQuestion) -> Correction:
    """The best plan of all, tried on the audio where there is some; writes the fronts.

    Raises:
        InputError: settings that contradict each other, or something that is missing.
        QuantkitError: see :mod:`quantkit.planning.optimal`.
    """
    return leaving_out(question.model, question.feeds, lambda: _optimal(question))


def _optimal(question: PlanQuestion) -> Correction:
    settings = question.settings
    fronts = [path_of(front, "the front") for front in settings.fronts]
    _require_consistent(question, fronts)
    codecs = settings.candidates
    if settings.codec:
        codecs = tuple(codec_widths(settings.codec).values())
    divergence = DivergenceSettings(
        candidates=codecs or CANDIDATES, faster_inputs=settings.max_latency is not None
    )
    model = question.model
    analysis = AnalysisSettings(
        metrics=(),
        fitting=question.fitting,
        divergence=divergence,
        ranks=settings.structure is not False
        and settings.max_latency is not None
        and not model.structure,
    )
    sensitivity = question.sensitivity(analysis)
    if settings.codec:
        # Of a codec's widths, a table need not have all.
        known = {str(each.codec) for row in sensitivity.layers for each in row.weights}
        codecs = tuple(each for each in codecs if str(each) in known) or codecs
    times = _times(question) if settings.max_latency or settings.times else None
    tried = question.feeds is not None and settings.verify is not False
    limits = PlanLimits(
        question.budget,
        settings.quantize,
        analysis,
        codecs,
        settings.max_latency,
        times,
        settings.max_input_divergence,
        settings.load_bytes,
        ROUNDS if tried else None,
        question.cache,
    )
    best = best_plan(
        model,
        question.feeds,
        sensitivity,
        limits,
        progress=question.progress,
        notify=question.notify,
    )
    if fronts:
        front = pareto_front(best.planner, timed=times is not None, progress=question.progress)
    for path in fronts:
        write_front(front, path)
    return best.correction


def by_method(question: PlanQuestion, method: str) -> Plan:
    """The plan of one of :data:`~quantkit.planning.methods.METHODS`.

    Raises:
        InputError: it needs a sensitivity table, and there is neither one nor audio.
        QuantkitError: see the method.
    """
    settings = question.settings
    chosen = method_named(method, **settings.of_method)
    sensitivity = None
    if chosen.metric is not None:
        wanted = AnalysisSettings(metrics=(chosen.metric,), divergence=None)
        sensitivity = question.sensitivity(wanted)
    request = PlanRequest(
        question.model,
        question.budget,
        settings.quantize,
        sensitivity,
        codec=settings.codec or "bitplane",
        fitting=question.fitting,
    )
    return chosen.plan(request)


def _require_consistent(question: PlanQuestion, fronts: list[Path]) -> None:
    """Before anything is measured."""
    settings = question.settings
    if settings.verify and question.feeds is None:
        raise InputError("--verify needs --audio DIR with unlabelled clips")
    if settings.max_input_divergence is not None and settings.max_latency is not None:
        raise InputError(
            "--max-input-divergence does not go with --max-latency: that picks kernels"
        )
    if settings.codec and settings.candidates:
        raise InputError("give one of --codec and --candidate")
    for path in fronts:
        require_front_form(path)
    if settings.max_latency is not None:
        # What a share is of does not matter yet.
        parse_latency(settings.max_latency, float32_ms=1.0)


def _times(question: PlanQuestion) -> LayerTimes:
    """From the file, or measured: then the file is written, where one was named."""
    times = _known_times(question, optional_path(question.settings.times, "the times"))
    if times.disturbed and question.notify is not None:
        question.notify(times.disturbance)
    return times


def _known_times(question: PlanQuestion, path: Path | None) -> LayerTimes:
    if path is not None and path.exists():
        return read_layer_times(path)
    if question.feeds is None:
        raise InputError(
            "--max-latency needs the times of the layers on this host: give --audio DIR to "
            "measure them, or --times FILE from an earlier run"
        )
    times = measure_layer_times(question.model, question.feeds, cache_folder=question.cache)
    if path is not None:
        write_layer_times(times, path)
    return times
