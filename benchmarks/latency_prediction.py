"""Whether plans take as long as the times of their layers say.

Run it from the repository after ``make export``, with nothing else running: ``python -m
benchmarks.latency_prediction``. It times the layers of the shipped model, plans for several limits
of latency, measures the files, renews its section of RESULTS.md, and fails if a promise is broken.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from quantkit.audio.corpora import open_corpus
from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import read_info
from quantkit.planning.latency import LayerTimes
from quantkit.planning.measure_latency import measure_layer_times
from quantkit.planning.optimal import Planner
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.runtime.interleaved import Effort, interleaved_seconds
from quantkit.runtime.session import create_session
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import DivergenceSettings

SOURCE = ROOT / "build" / "wav2letter-en" / "float32.onnx"
CLIPS = ROOT / "calibration_data"
BUDGET = 8_000_000
#: Of the latency of float32.
LIMITS = (0.9, 0.7, 0.5, 0.4)
CANDIDATES = tuple(map(CodecChoice.parse, ("grouped:4", "bitplane:6", "int8")))
#: By how much a plan may take longer or shorter than was predicted.
PROMISED_ERROR = 0.10


@dataclass(frozen=True)
class Checked:
    """One plan.

    Args:
        limit: of the latency of float32 that it was to keep to.
        computes: how many layers have which.
        predicted, measured: latency as a share of float32's.
    """

    limit: float
    computes: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1


def check(feeds: CalibrationData, times: LayerTimes) -> list[Checked]:
    """Plan for every limit, and time the files in turns with the float model."""
    divergence = DivergenceSettings(candidates=CANDIDATES)
    sensitivity = analyze(SOURCE, feeds, AnalysisSettings(metrics=(), divergence=divergence))
    settings = QuantizeSettings(compute="static")
    planner = Planner.of(SOURCE, sensitivity, settings, times=times, any_compute=True)
    float_ms = times.whole["float32"]
    plans = [planner.best(BUDGET, limit * float_ms).plan for limit in LIMITS]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{limit}.onnx" for limit in LIMITS]
        for plan, path in zip(plans, paths, strict=True):
            quantize_model(SOURCE, path, plan, feeds)
        seconds = _seconds([SOURCE, *paths], feeds)
    return [
        Checked(
            limit,
            _counted([row.compute for row in plan.layers]),
            times.predicted(plan) / float_ms,
            taken / seconds[0],
        )
        for limit, plan, taken in zip(LIMITS, plans, seconds[1:], strict=True)
    ]


def report(checked: Sequence[Checked]) -> str:
    """The section of RESULTS.md."""
    rows = [
        [
            f"{each.limit:.0%}",
            each.computes,
            f"{each.predicted:.1%}",
            f"{each.measured:.1%}",
            f"{each.error:+.1%}",
        ]
        for each in checked
    ]
    header = ["limit", "layers", "predicted", "measured", "error"]
    return "\n\n".join(
        [
            "## Predicted latency",
            "`python -m benchmarks.latency_prediction`: plans of at most "
            f"{BUDGET / 1e6:.0f} MB for limits of latency, from the times of single layers; "
            "shares of float32's latency, one thread, processor time, files in turns, medians. "
            f"Promised: within {PROMISED_ERROR:.0%}. {host()}.",
            table(header, rows),
        ]
    )


@click.command()
def main() -> None:
    """Check every limit, renew RESULTS.md, and fail if a promise is broken."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    feeds = CalibrationData(open_corpus(CLIPS).sample(16), read_info(SOURCE))
    times = measure_layer_times(SOURCE, feeds, cache_folder=None)
    if times.disturbed:
        raise click.ClickException("other programs took the processor: run it on a quiet machine")
    checked = check(feeds, times)
    section = report(checked)
    click.echo(section)
    replace_section("latency-prediction", section)
    wrong = [each for each in checked if abs(each.error) > PROMISED_ERROR]
    if wrong:
        limits = ", ".join(f"{each.limit:.0%}" for each in wrong)
        raise click.ClickException(f"off by more than {PROMISED_ERROR:.0%}: {limits}")


def _seconds(paths: Sequence[Path], feeds: CalibrationData) -> list[float]:
    """Median processor time of one run on the clip of median length."""
    clips = sorted(
        (inputs for _, inputs in feeds), key=lambda each: -sum(v.size for v in each.values())
    )
    clip: dict[str, Any] = dict(clips[len(clips) // 2])
    sessions = [create_session(path) for path in paths]
    runs = [partial(session.run, None, clip) for session in sessions]
    taken = interleaved_seconds(
        runs, threads=1, effort=Effort(rounds=60, seconds=30), clock=time.process_time
    )
    return [float(sorted(column)[len(column) // 2]) for column in taken.T]


def _counted(computes: Sequence[str]) -> str:
    found = {name: computes.count(name) for name in sorted(set(computes))}
    return ", ".join(f"{count} {name}" for name, count in found.items())


if __name__ == "__main__":
    main()
