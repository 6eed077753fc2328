"""Long work says how far it is: in a terminal with a bar, else with lines."""

from __future__ import annotations

import time

import pytest

from quantkit.cli.progress import ProgressLines, progress_bar


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lines_of(clock: Clock, shares: list[tuple[float, str, float]]) -> list[str]:
    """The lines of work that tells, at some second, a stage and a share."""
    written: list[str] = []
    lines = ProgressLines("starting", clock, written.append)
    for second, stage, share in shares:
        clock.seconds = second
        lines(stage, share)
        lines.look()
    return written


def test_short_work_says_nothing(clock: Clock) -> None:
    assert lines_of(clock, [(1, "plan", 0.5), (9.9, "plan", 1.0)]) == []


def test_a_line_comes_at_most_every_10_seconds(clock: Clock) -> None:
    steps = [(second, "plan", second / 100) for second in range(101)]
    lines = lines_of(clock, steps)
    assert len(lines) == 10
    assert lines[0] == "quantkit: plan 10%, after 10 s"
    assert lines[-1] == "quantkit: plan 100%, after 1 min 40 s"


def test_slow_work_says_something_every_10_per_cent_or_every_minute(clock: Clock) -> None:
    hour = [(second, "plan", second / 3600) for second in range(3601)]
    assert len(lines_of(clock, hour)) == 60


def test_another_stage_is_named_soon(clock: Clock) -> None:
    lines = lines_of(clock, [(10, "a", 0.1), (20, "b", 0.0)])
    assert lines == ["quantkit: a 10%, after 10 s", "quantkit: b, after 20 s"]


def test_work_that_tells_nothing_does_not_look_dead(clock: Clock) -> None:
    written: list[str] = []
    lines = ProgressLines("exporting", clock, written.append)
    clock.seconds = 61.0
    lines.look()
    assert written == ["quantkit: exporting, after 1 min 1 s"]


def test_steps_are_counted(clock: Clock) -> None:
    written: list[str] = []
    lines = ProgressLines("training", clock, written.append)
    lines.count("training", 300, 1000, "loss 0.500")
    clock.seconds = 7300.0
    lines.look()
    assert written == ["quantkit: training 30% (300/1000 loss 0.500), after 2 h 1 min"]


def test_lines_go_to_standard_error_from_a_thread_of_their_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_LINE_SECONDS", "_SILENCE_SECONDS"):
        monkeypatch.setattr(f"quantkit.cli.progress.{name}", 0.0)
    monkeypatch.setattr("quantkit.cli.progress._LOOK_SECONDS", 0.001)
    seen = ""
    with progress_bar("listening") as tell:
        tell("listening", 0.25)
        deadline = time.monotonic() + 30
        while "listening 25%" not in seen and time.monotonic() < deadline:
            printed = capsys.readouterr()
            assert printed.out == ""
            seen += printed.err
    assert "quantkit: listening 25%, after " in seen
