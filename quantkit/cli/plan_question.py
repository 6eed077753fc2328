"""What ``quantkit plan`` asks its methods, and where it gets what they need."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from quantkit.calibration.feeds import Feeds
from quantkit.cli.progress import progress_bar
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.plan import Plan
from quantkit.planning.budget import parse_latency
from quantkit.planning.correction import Correction, PlanEvaluator, corrected_plan
from quantkit.planning.float_inputs import MAX_INPUT_DIVERGENCE
from quantkit.planning.front_file import require_front_form, write_front
from quantkit.planning.latency import LayerTimes, read_layer_times, write_layer_times
from quantkit.planning.measure_latency import measure_layer_times
from quantkit.planning.methods import PlanRequest, method_named
from quantkit.planning.methods.precisions import codec_widths
from quantkit.planning.optimal import Planner
from quantkit.planning.pareto import pareto_front
from quantkit.quantization.choices.fitting import Fitting
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.cache import default_cache_folder
from quantkit.sensitivity.divergence_settings import CANDIDATES, DivergenceSettings
from quantkit.sensitivity.table import Sensitivity, read_sensitivity


@dataclass(frozen=True)
class Question:
    """What every method is asked."""

    model: PreparedModel
    budget: int
    settings: QuantizeSettings
    fitting: Fitting
    sensitivity_file: Path | None
    feeds: Feeds | None

    def sensitivity(self, analysis: AnalysisSettings) -> Sensitivity:
        """The table that was named, or one made from the audio.

        Raises:
            click.UsageError: there is neither.
        """
        if self.sensitivity_file is not None:
            return read_sensitivity(self.sensitivity_file)
        if self.feeds is None:
            raise click.UsageError(
                "this method decides by what layers do to the output: give --audio DIR with "
                "unlabelled clips, or --sensitivity FILE from `quantkit analyze`; --method uniform "
                "needs neither"
            )
        with progress_bar("analyzing") as tell:
            return analyze(
                self.model,
                self.feeds,
                analysis,
                cache=default_cache_folder(),
                progress=tell,
            )


def optimal(
    question: Question,
    codec: str | None,
    *,
    candidates: tuple[str, ...],
    max_latency: str | None,
    times_file: Path | None,
    verify: bool | None,
    front_files: tuple[Path, ...],
    max_input_divergence: float | None,
) -> Correction:
    """The best plan of all, tried on the audio where there is some; writes the front if asked to.

    Args:
        codec: name of the only one to choose among; None: all that were analyzed.
        candidates, max_latency, times_file, verify, front_files, max_input_divergence: as options
            of ``quantkit plan``.

    Raises:
        click.UsageError: options that contradict each other, or something that is missing.
        QuantkitError: see :mod:`quantkit.planning.optimal`.
    """
    if verify and question.feeds is None:
        raise click.UsageError("--verify needs --audio DIR with unlabelled clips")
    if max_input_divergence is not None and max_latency is not None:
        raise click.UsageError(
            "--max-input-divergence does not go with --max-latency: that picks kernels"
        )
    if codec and candidates:
        raise click.UsageError("give one of --codec and --candidate")
    for path in front_files:
        require_front_form(path)
    if max_latency is not None:
        # Before anything is measured; what a share is of does not matter yet.
        parse_latency(max_latency, float32_ms=1.0)
    codecs = tuple(map(CodecChoice.parse, candidates))
    if codec:
        codecs = tuple(codec_widths(codec).values())
    divergence = DivergenceSettings(candidates=codecs or CANDIDATES)
    sensitivity = question.sensitivity(
        AnalysisSettings(metrics=(), fitting=question.fitting, divergence=divergence)
    )
    if codec:
        # Of a codec's widths, a table need not have all.
        known = {str(each.codec) for row in sensitivity.layers for each in row.weights}
        codecs = tuple(each for each in codecs if str(each) in known) or codecs
    times = _times(question, times_file) if max_latency or times_file else None

    def planner(any_compute: bool) -> Planner:
        return Planner.of(
            question.model,
            sensitivity,
            question.settings,
            codecs=codecs,
            times=times,
            any_compute=any_compute,
            max_input_divergence=MAX_INPUT_DIVERGENCE
            if max_input_divergence is None
            else max_input_divergence,
            fitting=question.fitting,
        )

    limit_ms = None
    if max_latency is not None and times is not None:
        limit_ms = parse_latency(max_latency, times.whole["float32"])
    with ExitStack() as stack:
        judge = None
        if question.feeds is not None and verify is not False:
            judge = PlanEvaluator(
                question.model,
                question.feeds,
                sensitivity,
                question.settings,
                question.fitting,
            )
            stack.callback(judge.close)
        tell = stack.enter_context(progress_bar("planning"))
        found = corrected_plan(
            planner(limit_ms is not None), judge, question.budget, limit_ms,
            progress=tell,
        )  # fmt: skip
        if front_files:
            timed = times is not None
            front = pareto_front(planner(timed), timed=timed, progress=tell)
    for path in front_files:
        write_front(front, path)
    return found


def _times(question: Question, path: Path | None) -> LayerTimes:
    """From the file, or measured: then the file is written, where one was named."""
    times = _known_times(question, path)
    if times.disturbed:
        click.echo(
            f"  warning: while the layers were timed, other programs took "
            f"{1 - times.processor_share:.0%} of the processor: the times are too long, and rough",
            err=True,
        )
    return times


def _known_times(question: Question, path: Path | None) -> LayerTimes:
    if path is not None and path.exists():
        return read_layer_times(path)
    if question.feeds is None:
        raise click.UsageError(
            "--max-latency needs the times of the layers on this host: give --audio DIR to "
            "measure them, or --times FILE from an earlier run"
        )
    times = measure_layer_times(question.model, question.feeds, cache_folder=default_cache_folder())
    if path is not None:
        write_layer_times(times, path)
    return times


def by_other_method(
    question: Question, method: str, codec: str | None, options: Mapping[str, Any]
) -> Plan:
    """The plan of one of :data:`~quantkit.planning.methods.METHODS`.

    Args:
        options: what the method takes beside; None for its default.

    Raises:
        click.UsageError: it needs a sensitivity table, and there is neither one nor audio.
        QuantkitError: see the method.
    """
    given = {name: value for name, value in options.items() if value is not None}
    asked = method_named(method, **given)
    sensitivity = None
    if asked.metric is not None:
        wanted = AnalysisSettings(metrics=(asked.metric,), divergence=None)
        sensitivity = question.sensitivity(wanted)
    request = PlanRequest(
        question.model,
        question.budget,
        question.settings,
        sensitivity,
        codec=codec or "bitplane",
        fitting=question.fitting,
    )
    return asked.plan(request)
