"""A plan of any kernels gives way to one of the settings' where its file is too slow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from quantkit.calibration.data import CalibrationData
from quantkit.errors import InputError
from quantkit.planning import kept_latency as module
from quantkit.planning.correction import Correction
from quantkit.planning.fast_model import FastModel
from quantkit.planning.finished_latency import FinishedLatency
from quantkit.planning.kept_latency import plan_in_time
from quantkit.planning.optimal import Planner
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.prepared import PreparedModel
from tests.planning.synthetic import synthetic_sensitivity, synthetic_times
from tests.small_model import clips, model, run, source

__all__ = ["clips", "model", "run", "source"]

LIMIT_MS = 10.0


@pytest.fixture
def fast(source: Path) -> FastModel:
    table = synthetic_sensitivity(source)
    return FastModel(PreparedModel(source), table, synthetic_times(table), LIMIT_MS, 30.0)


@pytest.fixture
def measures(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[float]], list[Path]]:
    """Files take these milliseconds, one after the other; returns those that were run."""

    def prepare(milliseconds: Sequence[float]) -> list[Path]:
        ran: list[Path] = []

        def measured(source, finished, feeds, *, limit_ms, predicted_ms, float32_ms):
            assert finished.stat().st_size > 0
            ran.append(finished)
            return FinishedLatency(limit_ms, predicted_ms, milliseconds[len(ran) - 1], float32_ms)

        monkeypatch.setattr(module, "finished_latency", measured)
        return ran

    return prepare


def planned(fast: FastModel, any_compute: bool) -> Correction:
    planner = Planner.of(
        fast.model,
        fast.sensitivity,
        QuantizeSettings(compute="static"),
        times=fast.times,
        any_compute=any_compute,
    )
    return Correction(planner.best(1_000_000, 100.0))


def chosen(fast: FastModel, clips, impossible: bool = False) -> set[str]:
    def best(any_compute: bool) -> Correction:
        if impossible and not any_compute:
            raise InputError("no choice of kernels is so fast")
        return planned(fast, any_compute)

    feeds = CalibrationData(clips, fast.model.info)
    found = plan_in_time(fast, feeds, PtqSettings(), best)
    return {row.compute for row in found.optimum.plan.layers}


def test_a_plan_whose_file_is_fast_enough_stays(fast, clips, measures) -> None:
    ran = measures([LIMIT_MS])
    assert chosen(fast, clips) == {"float32"}
    assert len(ran) == 1


def test_one_whose_file_is_too_slow_gives_way_to_the_kernels_of_the_settings(
    fast, clips, measures
) -> None:
    ran = measures([1.5 * LIMIT_MS, 1.2 * LIMIT_MS])
    assert chosen(fast, clips) == {"static"}
    assert len(ran) == 2


def test_but_not_where_these_are_no_faster(fast, clips, measures) -> None:
    measures([1.5 * LIMIT_MS, 1.6 * LIMIT_MS])
    assert chosen(fast, clips) == {"float32"}


def test_and_not_where_these_are_impossible(fast, clips, measures) -> None:
    measures([1.5 * LIMIT_MS])
    assert chosen(fast, clips, impossible=True) == {"float32"}
