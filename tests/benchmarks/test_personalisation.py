"""The study of personalisation: who is calibrated on whom, and what is called signal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import charts, personalisation, personalisation_report
from benchmarks.charts import Bars
from benchmarks.personalisation_report import (
    Cell,
    Row,
    compare,
    gender_comparisons,
    pooled_edits,
    relation,
    report,
    speaker_comparisons,
    summary_sentence,
)
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import InputError

BUDGET = 1_200_000


def row(**edits: list[int]) -> Row:
    divergence = dict.fromkeys(edits, 0.1)
    return Row(1000, 32, json.dumps(edits), json.dumps(divergence), 1.0, 2.0, 3.0)


def corpus(**clips: int) -> Corpus:
    return Corpus(
        "demo",
        tuple(
            Utterance(Path(f"{who}/{i:02}.ogg"), "yes", speaker=who, name=f"{who}/{i:02}.ogg")
            for who, count in clips.items()
            for i in range(count)
        ),
    )


def genders(heard_same: list[int], heard_other: list[int]) -> dict[Cell, Row]:
    """Three seeds; the figures are those of women and men alike."""
    return {
        Cell("gender", "optimal", BUDGET, heard, 32, seed): (
            row(f=heard_same, m=heard_other) if heard == "f" else row(f=heard_other, m=heard_same)
        )
        for heard in ("f", "m")
        for seed in range(3)
    }


def everything() -> dict[Cell, Row]:
    results = {Cell(p, "float32", 0, "none"): row(f=[4, 5], m=[6, 7]) for p in ("gender", "clips")}
    results |= genders([5, 5], [6, 6])
    results[Cell("gender", "uniform", BUDGET, "none")] = row(f=[9, 9], m=[9, 9])
    for part in ("digits", "commands"):
        results[Cell(part, "float32", 0, "none")] = row(ann=[0, 0], bob=[0, 1])
        results[Cell(part, "optimal", BUDGET, "ann", 32)] = row(ann=[0, 0], bob=[1, 1])
        results[Cell(part, "optimal", BUDGET, "bob", 32)] = row(ann=[0, 2], bob=[0, 1])
    for count in (1, 32):
        for seed in (0, 1):
            cell = Cell("clips", "optimal", BUDGET, "anyone", count, seed)
            results[cell] = row(f=[5, 5], m=[7, 7 + seed])
    return results


@pytest.mark.parametrize(
    ("heard", "tested", "who"),
    [
        ("f", "f", "same"),
        ("f", "m", "other"),
        ("theo", "jackson", "other"),
        ("none", "f", "none"),
        ("synthetic", "m", "synthetic"),
    ],
)
def test_who_was_heard_seen_from_who_is_tested(heard: str, tested: str, who: str) -> None:
    assert relation(heard, tested) == who


def test_every_budget_hears_each_gender_each_speaker_and_nobody() -> None:
    cells = personalisation.cells(["ann", "bob"], ["theo"])
    assert len(set(cells)) == len(cells)
    for budget in personalisation.GENDER_BUDGETS:
        mine = [c for c in cells if c.part == "gender" and c.budget == budget]
        optimal = [(c.heard, c.seed) for c in mine if c.method == "optimal"]
        drawn = [(gender, seed) for seed in personalisation.SEEDS for gender in ("f", "m")]
        assert sorted(optimal) == sorted([*drawn, ("synthetic", 0)])
        assert [c.heard for c in mine if c.method == "uniform"] == ["none"]
        assert [c.heard for c in mine if c.method == "myqasr"] == ["f", "m"]
    for budget in personalisation.SPEAKER_BUDGETS:
        heard = [c.heard for c in cells if c.part == "commands" and c.budget == budget]
        assert heard == ["none", "ann", "bob"]
    assert {c.clips for c in cells if c.part == "clips"} == {0, 1, 4, 16, 32, 100}


def test_speakers_are_those_with_the_most_clips() -> None:
    clips = {f"speaker{i}": 20 + i for i in range(10)} | {"rare": 19}
    found = personalisation.frequent_speakers(corpus(**clips))
    assert found == [f"speaker{i}" for i in range(2, 10)]


def test_halves_share_no_clip_and_lose_none() -> None:
    whole = corpus(ann=5)
    first, second = personalisation.halves(whole)
    assert [u.identifier for u in first] == ["ann/00.ogg", "ann/02.ogg", "ann/04.ogg"]
    assert {*first, *second} == set(whole)
    personalisation.require_disjoint(first, tuple(second))


def test_clips_that_calibrate_are_never_tested_on() -> None:
    whole = corpus(ann=5)
    with pytest.raises(InputError, match=r"ann/03.ogg both calibrates and is tested on"):
        personalisation.require_disjoint(whole, whole.utterances[3:4])


def test_edits_are_averaged_over_files_and_pooled_over_who_is_tested() -> None:
    rows = [
        (Cell("digits", "optimal", BUDGET, "ann"), row(ann=[1, 2], bob=[3], eve=[4])),
        (Cell("digits", "optimal", BUDGET, "bob"), row(ann=[5, 6], bob=[7], eve=[8])),
        (Cell("digits", "optimal", BUDGET, "eve"), row(ann=[7, 8], bob=[5], eve=[0])),
    ]
    groups = ["ann", "bob", "eve"]
    assert pooled_edits(rows, groups, "same").tolist() == [1, 2, 7, 0]
    assert pooled_edits(rows, groups, "other").tolist() == [6, 7, 4, 6]
    # Of what only some have, nothing is said.
    assert pooled_edits(rows[:1], groups, "same").size == 0


def test_a_steady_difference_is_signal_and_one_that_changes_sign_is_noise() -> None:
    other = np.arange(10.0, 60.0)
    swings = np.where(np.arange(50) % 2, 1.0, -1.2)
    better = compare("women", other - 1, other, [(1, 2), (2, 2), (3, 2)], "seeds")
    assert better.sentence == (
        "women: 33.50 edits a clip calibrated on the same, 34.50 on the other, -1.00 "
        "[-1.00, -1.00]. **signal: the same is better**; the same wins in 1 of 3 seeds and ties in "
        "1."
    )
    worse = compare("women", other + 1, other, [(2, 1)], "seeds")
    assert "**signal: the other is better**; the same wins in 0 of 1 seed." in worse.sentence
    unclear = compare("women", other + swings, other, [(1, 2)], "seeds")
    assert "**noise: the interval holds 0**" in unclear.sentence
    assert summary_sentence([better, worse, unclear]).startswith(
        "Of 3 comparisons of same against other, 1 are signal for the same, 1 signal for the "
        "other, 1 noise. Chance alone makes about 0.2"
    )


def test_genders_are_compared_each_and_together_with_a_count_of_seeds() -> None:
    women, men, both = gender_comparisons(genders([5, 5], [6, 7]))
    assert [c.name for c in (women, men, both)] == [
        "women, 1.2 MB, optimal",
        "men, 1.2 MB, optimal",
        "women and men, 1.2 MB, optimal",
    ]
    for each in (women, men, both):
        assert (each.same, each.other, each.wins, each.of) == (5.0, 6.5, 3, 3)
        assert each.is_signal


def test_speakers_are_pooled_and_counted() -> None:
    digits, commands = speaker_comparisons(everything())
    assert (digits.name, commands.name) == (
        "digits, 1.2 MB, optimal",
        "speech commands, 1.2 MB, optimal",
    )
    assert (digits.same, digits.other) == (0.25, 1.0)
    assert (digits.wins, digits.of, digits.units) == (2, 2, "speakers")


def test_report_has_a_table_and_verdicts_for_each_part() -> None:
    section = report(everything(), "About.")
    assert "Of 5 comparisons of same against other" in section
    assert "| women, optimal, same | +11.1% [+0.0%, +22.2%] |" in section
    assert "| women, uniform, none | +100.0% [" in section
    assert "| digits, 1.2 MB, optimal, same | 75.0% [" in section
    assert "- digits, 1.2 MB, optimal: 0.25 edits a clip calibrated on the same" in section
    (one,) = (line for line in section.splitlines() if line.startswith("| 1 |"))
    assert "| +9.1% … +13.6% | 0.1000 | 1.0 | 2.0 | 3.0 | 6.0 |" in one


@pytest.mark.slow
def test_bars_and_lines_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bars = Bars("Digits", "%", ["ann", "bob"], {"same": [(9, 8, 10), (5, 5, 5)]})
    first, second = (charts.write_bars("demo", [bars], tmp_path / each) for each in "ab")
    assert first.read_text() == second.read_text()
    assert ">same</text>" in first.read_text()
    for function in (charts.write_lines, charts.write_bars):
        monkeypatch.setattr(function, "__defaults__", (tmp_path,))
    drawn = personalisation_report.draw(everything())
    assert [path.name for path in drawn] == [
        f"personalisation-{part}.svg" for part in ("gender", "speaker", "clips")
    ]
    assert all(path.parent == tmp_path and path.exists() for path in drawn)
