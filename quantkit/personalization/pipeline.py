"""All steps in one: analyse on a user's audio, plan for a budget, quantize, and evaluate."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import Calibration, CalibrationData, evenly
from quantkit.calibration.heard import doubts, require_heard
from quantkit.codecs.catalogue import CodecChoice
from quantkit.disk.files import refuse_overwriting
from quantkit.graph.plan import Plan
from quantkit.personalization.outliers import with_balance
from quantkit.personalization.parts import part_costs
from quantkit.personalization.reasons import reasons
from quantkit.personalization.shorter_windows import WindowChoice, set_window
from quantkit.personalization.summary import PersonalizeSummary, Step, audio_warnings
from quantkit.planning.best_plan import PlanLimits, best_plan
from quantkit.planning.budget import generous_budget, parse_budget, parse_latency
from quantkit.planning.correction import LARGEST_TRIED
from quantkit.planning.finished_latency import finished_latency
from quantkit.planning.pareto import Front, pareto_front
from quantkit.progress import Progress, no_progress
from quantkit.quantization.choices.presets import preset
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.nothing_quantized import require_quantized_by
from quantkit.quantization.pipeline import quantize_model
from quantkit.quantization.prepare import structured_by
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.lint import LintReport
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import CANDIDATES, DivergenceSettings
from quantkit.sensitivity.model_divergence import ClipComparison, compare_models
from quantkit.sensitivity.table import Sensitivity
from quantkit.slices.compared import Wanted, slices, slices_by_sound

_LOG = logging.getLogger(__name__)

_POINTS_OF_FRONT = 10
# Most audio on which the finished file is compared with float32.
_COMPARED_SECONDS = 160.0


@dataclass(frozen=True)
class PersonalizeSettings:
    """Candidates of the plan, and how its numbers are fitted.

    Args:
        quantize: compute, activation grids, pinned and excluded layers; its codec is not used.
        candidates: codecs to choose from.
        fitting: see :class:`~quantkit.quantization.choices.ptq.PtqSettings`.
        balance: whether to insert a multiplication before layers whose input has outliers. They are
            found from the clips, unless ``fitting`` lists them.
        rounds: corrections of the plan for interactions between layers; None: one, if the model is
            small enough. 0 uses the sum of the single layers' divergences.
        max_input_divergence: see :func:`~quantkit.planning.optimal.planner_within`.
        max_latency: what a run on the clip of median length may take on this host, such as
            ``20ms``, or ``0.13x`` of what float32 takes; then kernels are chosen, too, and bits of
            the inputs of long convolutions. None: no limit.
        structure: whether layers may be split in two of lower rank, and make fewer channels, where
            a latency needs it or loses less with it.
        load_memory: what opening the file in ONNX Runtime may take beyond the libraries, such as
            ``300MB``; codecs whose decoders take too much are then left out. None: no limit.
        window: of a Whisper; see :mod:`quantkit.personalization.shorter_windows`.
        front: whether to find out what other sizes would give.
    """

    quantize: QuantizeSettings = field(default_factory=lambda: preset("hybrid"))
    candidates: tuple[CodecChoice, ...] = CANDIDATES
    fitting: PtqSettings = field(default_factory=PtqSettings)
    balance: bool = True
    rounds: int | None = None
    max_input_divergence: float | None = None
    max_latency: str | None = None
    structure: bool = True
    load_memory: str | None = None
    window: WindowChoice = None
    front: bool = True


@dataclass(frozen=True)
class Personalized:
    """The results of :func:`personalize`.

    Args:
        summary: sizes, divergences, times, reasons and warnings.
        sensitivity: of the layers, on this user's audio.
        plan: the choice of each layer.
        front: what other sizes would give; None if that was not asked for.
        lint: which kernels ONNX Runtime really runs.
    """

    summary: PersonalizeSummary
    sensitivity: Sensitivity
    plan: Plan
    front: Front | None
    lint: LintReport

    @property
    def size_bytes(self) -> int:
        """What the artifact takes on disk, with all of its files."""
        return self.summary.size_bytes or 0

    @property
    def divergence(self) -> float | None:
        """Of the artifact's posteriors from float32's on these clips, in nats per unit."""
        return self.summary.measured_divergence

    def to_dict(self) -> dict[str, Any]:
        """For programs: ``quantkit personalize --json``."""
        return self.summary.to_json() | {"plan": self.plan.to_json()}

    def rows(self) -> list[dict[str, Any]]:
        """One row per layer of the plan, for ``pandas.DataFrame``."""
        return [layer.to_row() for layer in self.plan.layers]


def personalize(
    source: Path | PreparedModel,
    destination: Path,
    calibration: Calibration | CalibrationData,
    budget_bytes: int,
    settings: PersonalizeSettings | None = None,
    *,
    wanted: Wanted | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> Personalized:
    """Write the best file of at most ``budget_bytes`` for the speakers in ``calibration``.

    ::

        personalize(Path("float32.onnx"), Path("user.onnx"), corpus, 3_000_000)

    Args:
        source: the float32 model, or its path.
        calibration: unlabelled clips of the user, 10 to 100.
        settings: None: the defaults.
        wanted: slices of the comparison with float32; None: the usual ones.
        cache: folder that keeps the analysis; see :func:`~quantkit.sensitivity.analyze.analyze`.
        progress: see :data:`~quantkit.progress.Progress`.
        notify: called if the cache cannot be written.

    Raises:
        NothingQuantized: all layers would stay float32 with any candidate.
        InputError: the budget or the latency is impossible; the message states what is possible. Or
            ``destination`` is ``source``.
        ModelError: ``source`` is damaged, quantized already, or fails on a clip.
        CorpusError: none of the clips is usable, or the model hears nothing in them.
        OutputError: ``destination`` cannot be written.
    """
    prepared = PreparedModel.of(source)
    refuse_overwriting(destination, [prepared.source])
    heard = listen(prepared, calibration, settings, cache=cache, progress=progress, notify=notify)
    return fit(
        heard,
        destination,
        budget_bytes,
        wanted=wanted,
        last_use=True,
        progress=progress,
        notify=notify,
    )


@dataclass(frozen=True)
class Heard:
    """What clips have shown of a model: all that :func:`fit` needs, whatever the budget.

    Args:
        model: the float32 model, for the windows of these clips.
        feeds: the clips.
        settings: with the layers to balance, which were found on the clips.
        analysis: settings of the table.
        sensitivity: of the layers, on these clips.
        windows: what was found out about the windows of a Whisper, in words.
        step: how long it took.
        cache: folder that keeps analyses.
    """

    model: PreparedModel
    feeds: CalibrationData
    settings: PersonalizeSettings
    analysis: AnalysisSettings
    sensitivity: Sensitivity
    windows: tuple[str, ...]
    step: Step
    cache: Path | None = None


def listen(
    source: Path | PreparedModel,
    calibration: Calibration | CalibrationData,
    settings: PersonalizeSettings | None = None,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> Heard:
    """The first half of :func:`personalize`, which does not depend on the budget.

    Args, Raises: see there.
    """
    prepared = PreparedModel.of(source)
    settings = PersonalizeSettings() if settings is None else settings
    tell = progress or no_progress
    if settings.max_latency is not None:
        # What a share is of does not matter yet.
        parse_latency(settings.max_latency, float32_ms=1.0)
    if settings.load_memory is not None:
        parse_budget(settings.load_memory)
    # A pattern that matches nothing is found out before anything is listened to.
    shaped, quantize = structured_by(prepared, settings.quantize, None)
    quantize.assign(shaped.layers_of(shaped.graph(quantize.skip_passes)))
    # So is a model that cannot be made any smaller.
    candidates = (replace(quantize, codec=codec) for codec in settings.candidates)
    require_quantized_by(shaped, candidates, settings.fitting)
    fast_only = settings.max_latency is not None
    divergence = DivergenceSettings(candidates=settings.candidates, faster_inputs=fast_only)
    clock = _Clock()
    with clock.step("listen"):
        calibration, windows = set_window(prepared, calibration, settings.window)
        feeds = prepared.feeds(calibration)
        prepared, quantize = structured_by(prepared, settings.quantize, feeds)
        settings = replace(settings, quantize=quantize)
        require_heard(prepared.original, feeds)
        if settings.balance:
            fitting = with_balance(prepared, feeds, settings.quantize, settings.fitting)
            settings = replace(settings, fitting=fitting)
        # No other metrics: the plan is based on divergence alone.
        analysis = AnalysisSettings(
            metrics=(),
            fitting=settings.fitting,
            divergence=divergence,
            ranks=settings.structure and fast_only and not prepared.structure,
        )
        table = analyze(prepared, feeds, analysis, cache=cache, progress=tell, notify=notify)
    return Heard(prepared, feeds, settings, analysis, table, windows, clock.steps[0], cache)


def fit(
    heard: Heard,
    destination: Path,
    budget_bytes: int,
    *,
    wanted: Wanted | None = None,
    last_use: bool = False,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> Personalized:
    """The second half of :func:`personalize`; may be called for one budget after the other.

    Args:
        wanted: see there.
        last_use: nothing else will use the cache of the model: it is emptied, which saves memory.

    Raises:
        InputError, ModelError, CorpusError, OutputError: see :func:`personalize`.
    """
    prepared, feeds, settings, table = heard.model, heard.feeds, heard.settings, heard.sensitivity
    refuse_overwriting(destination, [prepared.source])
    tell = progress or no_progress
    weighting = (heard.analysis.divergence or DivergenceSettings()).weighting
    info = prepared.info
    clock = _Clock((heard.step,))
    with clock.step("plan"):
        tell("plan", 0.0)
        limits = PlanLimits(
            budget_bytes,
            settings.quantize,
            heard.analysis,
            table.codecs,
            settings.max_latency,
            max_input_divergence=settings.max_input_divergence,
            load_bytes=None if settings.load_memory is None else parse_budget(settings.load_memory),
            rounds=_rounds(table) if settings.rounds is None else settings.rounds or None,
            cache=heard.cache,
        )
        best = best_plan(prepared, feeds, table, limits, progress=tell, notify=notify)
        prepared, table, found, fast = best.model, best.sensitivity, best.correction, best.fast
        front = pareto_front(best.planner, budgets=_POINTS_OF_FRONT) if settings.front else None
    with clock.step("quantize"):
        tell("quantize", 0.0)
        plan = found.optimum.plan
        result = quantize_model(prepared, destination, plan, feeds, last_use=last_use)
        malloc_trim()
    with clock.step("compare"):
        tell("compare", 0.0)
        latency = None
        if fast is not None:
            latency = finished_latency(
                prepared.source,
                destination,
                feeds,
                limit_ms=fast.limit_ms,
                predicted_ms=fast.times.predicted(result.plan),
                float32_ms=fast.float32_ms,
            )
        compared = _compared(feeds)
        comparison = compare_models(prepared, destination, compared, weighting=weighting)
        measured = comparison.divergence
        parts = part_costs(prepared, destination, compared, weighting)
        corpus = _compared_clips(feeds, comparison.clips)
        scoring = feeds.task.scoring(feeds.info)
        divided = slices(comparison.clips, corpus, scoring, wanted)
        if corpus is not None and wanted is not None:
            divided += slices_by_sound(prepared, destination, corpus, wanted, weighting)
    summary = PersonalizeSummary(
        model=info.name or prepared.source.name,
        source_bytes=prepared.whole.size_bytes,
        audio=_corpus_name(feeds),
        clips=table.clips,
        seconds=table.seconds,
        destination=destination,
        budget_bytes=budget_bytes,
        size_bytes=result.size_bytes,
        unit=feeds.task.unit,
        changes=comparison.changes,
        predicted_divergence=found.foretold.mean,
        predicted_interval=found.foretold.interval,
        measured_divergence=measured.mean,
        measured_interval=measured.interval,
        latency=latency,
        compared_clips=compared.recordings,
        parts=parts,
        # All clips alone stand above.
        slices=divided if len(divided) > 1 else (),
        steps=clock.steps,
        reasons=(*heard.windows, *reasons(table, result.plan)),
        warnings=(
            *generous_budget(budget_bytes, prepared.whole.size_bytes),
            *audio_warnings(
                table.clips,
                table.seconds,
                feeds.left_out,
                feeds.unknown_languages,
                () if comparison.changes is None else comparison.changes.silent,
            ),
            *doubts(feeds),
        ),
    )
    return Personalized(summary, table, result.plan, front, result.lint)


class _Clock:
    """Times of steps, in order, behind those of earlier ones."""

    def __init__(self, steps: tuple[Step, ...] = ()) -> None:
        self.steps = steps

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        seconds = time.perf_counter() - begin
        _LOG.info("%s: %.1f s", name, seconds)
        self.steps = (*self.steps, Step(name, seconds))


def _rounds(table: Sensitivity) -> int | None:
    """Corrections of the plan; None where trying one costs too much."""
    weights = sum(layer.parameters for layer in table.layers)
    return 1 if weights * len(table.layers) <= LARGEST_TRIED else None


def _compared(feeds: CalibrationData) -> CalibrationData:
    """All clips, or an even selection of many."""
    if feeds.seconds <= _COMPARED_SECONDS:
        return feeds
    wanted = max(1, int(feeds.clips * _COMPARED_SECONDS / feeds.seconds))
    return feeds.only(evenly(feeds.clips, wanted))


def _compared_clips(feeds: CalibrationData, clips: Sequence[ClipComparison]) -> Corpus | None:
    """Those clips of a corpus that were compared; None: they are from none."""
    if not isinstance(feeds.source, Corpus):
        return None
    names = {each.clip for each in clips}
    kept = tuple(each for each in feeds.source if each.identifier in names)
    return replace(feeds.source, utterances=kept) if kept else None


def _corpus_name(feeds: CalibrationData) -> str:
    return feeds.source.name if isinstance(feeds.source, Corpus) else ""
