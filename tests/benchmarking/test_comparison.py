"""Models against the first one, and which predictions are shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantkit.benchmarking.comparison import paired_difference, pareto_front, verdict
from quantkit.benchmarking.contestant import unique_names, variant_of
from quantkit.benchmarking.predictions import changed_predictions, select_predictions
from quantkit.benchmarking.schema import BenchReport, UtteranceResult
from quantkit.report.text_pairs import differences


@pytest.mark.slow
def test_paired_difference_is_much_narrower_than_the_means(report: BenchReport) -> None:
    good = report.models[0]
    spread = [replace(u, distance=40 * i) for i, u in enumerate(good.utterances)]
    worse = [replace(u, distance=u.distance + 1) for u in spread]
    difference = paired_difference(
        replace(good, utterances=tuple(worse)), replace(good, utterances=tuple(spread)), seed=0
    )
    assert difference == (1.0, (1.0, 1.0))


def test_no_transcripts_no_difference(unlabelled: BenchReport) -> None:
    assert paired_difference(unlabelled.models[0], unlabelled.models[0], 0) is None


def test_front_keeps_what_nothing_beats() -> None:
    assert pareto_front([(1, 5), (2, 2), (3, 3), (4, 1), (4, 2)]) == [0, 1, 3]
    assert pareto_front([(1, 1), (1, 2)]) == [0]
    assert pareto_front([(2, 2)]) == [0]


def test_verdict_in_words(report: BenchReport) -> None:
    first, bad = report.models
    smaller = replace(bad, size_bytes=first.size_bytes // 4, speedup=3.5)
    assert verdict(smaller, report).startswith("4.0× smaller, 3.5× faster, ")
    assert "edits per utterance worse" in verdict(smaller, report)
    equal = replace(first, size_bytes=first.size_bytes * 2, speedup=0.5)
    assert verdict(equal, report) == (
        "2.0× larger, 2.0× slower, accuracy not measurably different (edits 0.0 %; + is worse)"
    )


def test_verdict_without_transcripts(unlabelled: BenchReport) -> None:
    assert verdict(unlabelled.models[0], unlabelled) == "1.0× smaller, 1.0× faster"


def utterance(name: str, distance: int, length: int) -> UtteranceResult:
    return UtteranceResult(name, "", "", distance, length, 1.0, None)


def test_best_average_and_worst() -> None:
    utterances = [utterance(f"u{i}", i, 10) for i in range(11)] + [utterance("long", 0, 50)]
    chosen = select_predictions(utterances, count=3)
    assert [u.id for u in chosen.best] == ["long", "u0", "u1"]
    assert [u.id for u in chosen.average] == ["u5", "u4", "u6"]  # the mean is 4.58
    assert [u.id for u in chosen.worst] == ["u10", "u9", "u8"]


def test_few_utterances_are_all_shown() -> None:
    assert len(select_predictions([utterance("a", 1, 1)]).worst) == 1


@pytest.mark.parametrize(
    ("reference", "hypothesis"), [("kitten", "sitting"), ("", "abc"), ("abc", ""), ("same", "same")]
)
def test_differences_lose_nothing(reference: str, hypothesis: str) -> None:
    left, right = differences(reference, hypothesis)
    assert "".join(text for text, _ in left) == reference
    assert "".join(text for text, _ in right) == hypothesis
    assert [t for t, kind in left if kind == "same"] == [t for t, kind in right if kind == "same"]


def test_kinds_of_differences() -> None:
    left, right = differences("a cat", "a bat!")
    assert left == [("a ", "same"), ("c", "changed"), ("at", "same")]
    assert right == [("a ", "same"), ("b", "changed"), ("at", "same"), ("!", "only")]


def test_names_are_as_short_as_they_can_be() -> None:
    from pathlib import Path

    paths = [Path("x/a/m.onnx"), Path("x/b/m.onnx"), Path("y/b/m.onnx"), Path("other.onnx")]
    assert unique_names(paths) == ["a/m", "x/b/m", "y/b/m", "other"]
    assert unique_names([Path("m.onnx"), Path("m.ort")]) == ["m.onnx", "m.ort"]


def test_variants_without_a_plan() -> None:
    assert variant_of(None) == "not recorded"
    assert variant_of({"layers": "none"}) == "not recorded"
    assert variant_of({"layers": []}) == "no layers"


def test_what_changed_comes_by_what_it_cost() -> None:
    def texts(*hypotheses: tuple[str, int]) -> list[UtteranceResult]:
        return [
            UtteranceResult(f"{i}.wav", "abcd", text, distance, 4, 1.0, None)
            for i, (text, distance) in enumerate(hypotheses)
        ]

    before = texts(("abcd", 0), ("abxx", 2), ("abcx", 1), ("abc", 1))
    after = texts(("xxcd", 2), ("abcx", 1), ("abcy", 1), ("abc", 1))
    found = changed_predictions(before, after)
    assert [each.after.id for each in found.worse] == ["0.wav"]
    assert [each.after.id for each in found.better] == ["1.wav"]
    assert [each.after.id for each in found.equal] == ["2.wav"]
    assert found.count == 3
    assert changed_predictions(before, before).count == 0
