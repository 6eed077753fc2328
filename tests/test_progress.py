"""Shares of single pieces of work become shares of all of it."""

from __future__ import annotations

from quantkit.progress import counted, portion


def test_steps_become_shares_and_work_without_steps_has_none_done() -> None:
    told: list[tuple[str, float]] = []
    tell = counted(lambda stage, share: told.append((stage, share)), "latency")
    for done, total in ((1, 4), (4, 4), (0, 0)):
        tell(done, total)
    assert told == [("latency", 0.25), ("latency", 1.0), ("latency", 0.0)]


def test_like_pieces_of_work_fill_one_bar_after_each_other() -> None:
    told: list[float] = []
    for position in range(2):
        tell = portion(lambda _stage, share: told.append(share), position, 2)
        for share in (0.5, 1.0):
            tell("calibrating", share)
    assert told == [0.25, 0.5, 0.75, 1.0]
