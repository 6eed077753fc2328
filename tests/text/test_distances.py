"""Edit distances, their kinds, and bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.errors import InputError
from quantkit.text.distances import (
    ErrorCounts,
    bootstrap_interval,
    error_counts,
    levenshtein,
    ratio_interval,
)

texts = st.text(alphabet="ab c", max_size=12)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "distance"),
    [("", "", 0), ("kitten", "sitting", 3), ("abc", "", 3), ("", "ab", 2), ("naïve", "naive", 1)],
)
def test_known_distances(reference: str, hypothesis: str, distance: int) -> None:
    assert levenshtein(reference, hypothesis) == distance


def test_units_may_be_longer_than_a_character() -> None:
    assert levenshtein(["AA", "B"], ["AA", "D"]) == 1
    assert levenshtein(["the", "cat"], ["a", "cat"]) == 1


@pytest.mark.parametrize(
    ("reference", "hypothesis", "kinds"),
    [
        ("abc", "abc", (0, 0, 0)),
        ("abc", "abxc", (1, 0, 0)),
        ("abc", "ac", (0, 1, 0)),
        ("abc", "axc", (0, 0, 1)),
        ("", "abc", (3, 0, 0)),
        ("abc", "", (0, 3, 0)),
    ],
)
def test_kinds_of_errors(reference: str, hypothesis: str, kinds: tuple[int, int, int]) -> None:
    counts = error_counts(reference, hypothesis)
    assert (counts.insertions, counts.deletions, counts.substitutions) == kinds


@given(texts, texts)
def test_kinds_add_up_to_the_distance(reference: str, hypothesis: str) -> None:
    counts = error_counts(reference, hypothesis)
    assert counts.errors == levenshtein(reference, hypothesis)
    assert counts.insertions - counts.deletions == len(hypothesis) - len(reference)


def test_rate_of_a_corpus_is_errors_over_reference_units() -> None:
    counts = sum([error_counts("aaaa", "aaab"), error_counts("b", "")], ErrorCounts())
    assert counts.rate == pytest.approx(2 / 5)


def test_rate_of_an_empty_reference() -> None:
    assert error_counts("", "").rate == 0.0
    assert error_counts("", "a").rate == float("inf")


def test_interval_of_a_mean_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(10.0, 3.0, size=400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_interval_is_repeatable_and_wider_at_higher_confidence() -> None:
    values = [1, 5, 2, 8, 3, 9, 4]
    narrow, wide = bootstrap_interval(values, confidence=0.5), bootstrap_interval(values)
    assert bootstrap_interval(values) == wide
    assert bootstrap_interval(values, seed=1) != wide
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_interval_of_equal_values_is_a_point() -> None:
    assert bootstrap_interval([3.0, 3.0, 3.0]) == (3.0, 3.0)
    assert bootstrap_interval([3.0]) == (3.0, 3.0)


def test_weights_make_long_utterances_count_more() -> None:
    low, high = bootstrap_interval([0.0, 1.0] * 50, weights=[1.0, 3.0] * 50)
    assert low < 0.75 < high
    assert low > 0.5


def test_ratio_interval_covers_the_corpus_rate() -> None:
    errors, lengths = [0, 2, 1, 4] * 20, [5, 9, 3, 20] * 20
    low, high = ratio_interval(errors, lengths)
    assert low < sum(errors) / sum(lengths) < high


@pytest.mark.parametrize(
    ("values", "weights"), [([], None), ([1.0], [1.0, 2.0]), ([1.0], [0.0]), ([1.0], [-1.0])]
)
def test_what_has_no_interval_is_refused(values: list[float], weights: list[float] | None) -> None:
    with pytest.raises(InputError):
        bootstrap_interval(values, weights)


def test_confidence_is_a_share() -> None:
    with pytest.raises(InputError, match="95"):
        bootstrap_interval([1.0], confidence=95)
