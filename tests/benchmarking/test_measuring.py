"""Latency in turns, memory in a process of its own, and the host."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from quantkit.benchmarking import latency
from quantkit.benchmarking.host import describe_host
from quantkit.benchmarking.latency import time_in_turns
from quantkit.benchmarking.memory import measure_footprint
from quantkit.errors import ModelError
from quantkit.runtime.interleaved import Effort, interleaved_seconds

MakeModel = Callable[..., Path]


class Clock:
    """Shows the seconds that runs say they took."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def run(self, *seconds: float) -> Callable[[], None]:
        """A run that takes so long, each time the next of ``seconds``."""
        taken = cycle(seconds)

        def run() -> None:
            self.now += next(taken)

        return run


def test_a_run_that_takes_a_third_is_three_times_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(latency, "interleaved_seconds", partial(interleaved_seconds, clock=clock))
    # Ten calls: the first warms up.
    slow, fast = time_in_turns(
        [clock.run(*[0.030] * 9, 0.060), clock.run(*[0.010] * 9, 0.020)],
        batch_size=2,
        threads=1,
        effort=Effort(rounds=9),
    )
    assert (slow.batch_size, slow.threads, slow.runs) == (2, 1, 9)
    assert (slow.p50, fast.p50) == pytest.approx((30.0, 10.0))
    assert slow.p95 == pytest.approx(48.0)  # one round in nine took 60 ms
    assert slow.speedup == 1.0
    assert fast.speedup == pytest.approx(3.0)
    # Whatever slows a round down slows both.
    assert fast.speedup_ci == pytest.approx((3.0, 3.0))


def test_models_take_turns_and_no_one_is_always_first() -> None:
    order: list[str] = []
    runs = [lambda name=name: order.append(name) for name in "abc"]
    time_in_turns(runs, batch_size=1, threads=1, effort=Effort(rounds=3))
    assert "".join(order) == "abc" + "abc" + "bca" + "cab"  # the first three warm up


def test_time_bounds_the_rounds_but_not_below_the_least() -> None:
    effort = Effort(rounds=1000, min_rounds=2, seconds=0.0)
    (row,) = time_in_turns([lambda: None], batch_size=1, threads=1, effort=effort)
    assert row.runs == 2


@pytest.mark.slow
def test_footprint_is_that_of_the_model_alone(make_model: MakeModel) -> None:
    held = np.ones(40_000_000, np.float32)  # 160 MB in this process must not count
    light = measure_footprint(make_model("light", ballast=10), length=50)
    heavy = measure_footprint(make_model("heavy", ballast=10_000_000), length=50)
    assert held.sum() > 0
    assert heavy.weight_bytes - light.weight_bytes == 4 * (10_000_000 - 10)
    assert heavy.peak_rss_bytes - light.peak_rss_bytes > 30_000_000
    assert light.peak_rss_bytes < 150_000_000
    assert heavy.load_s > 0


def test_a_model_that_fails_in_its_process_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"broken\.onnx: memory cannot be measured: .*not load"):
        measure_footprint(broken, length=10)


def test_host_names_what_computes() -> None:
    host = describe_host()
    assert host.cpu
    assert host.cores >= 1
    assert host.memory_bytes > 1 << 20
    assert host.vnni == bool({"avx_vnni", "avx512_vnni"} & set(host.flags))
    assert all((host.python, host.onnxruntime, host.onnx, host.numpy, host.quantkit))
