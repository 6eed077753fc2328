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
    studentized_interval,
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


def test_studentized_interval_of_a_mean_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(3).normal(5.0, 2.0, 400)
    low, high = studentized_interval(values, np.ones(400))
    error = values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)


def test_studentized_interval_is_repeatable_and_wider_at_higher_confidence() -> None:
    values = np.random.default_rng(4).random(20)
    found = studentized_interval(values, np.ones(20))
    assert found == studentized_interval(values, np.ones(20))
    low, high = studentized_interval(values, np.ones(20), confidence=0.99)
    assert low < found[0] < found[1] < high


def test_long_pairs_of_nearly_the_same_ratio_are_sure() -> None:
    lengths = np.arange(1.0, 21.0)
    low, high = studentized_interval(0.1 * lengths + 1e-6 * (lengths % 3), lengths)
    assert low == pytest.approx(0.1, rel=1e-3)
    assert high == pytest.approx(0.1, rel=1e-3)


def test_pairs_that_do_not_scatter_have_no_studentized_interval() -> None:
    assert studentized_interval([0.5] * 10, [1] * 10) is None
    assert studentized_interval([0.5], [1]) is None


@pytest.mark.parametrize(
    ("numerators", "denominators"), [([], []), ([1.0], [1.0, 2.0]), ([1.0, 2.0], [0.0, 0.0])]
)
def test_what_has_no_studentized_interval_is_refused(
    numerators: list[float], denominators: list[float]
) -> None:
    with pytest.raises(InputError):
        studentized_interval(numerators, denominators)


@pytest.mark.slow
def test_studentized_intervals_hold_skewed_means_more_often_than_percentiles() -> None:
    """Numbers as spoken keywords show them: log-normal, half of the mean in a few of them."""
    random = np.random.default_rng(2)
    everybody = random.lognormal(-8.0, 1.9, 100_000)
    mean, draws = everybody.mean(), 200
    too_low, too_high, percentile_too_low = 0, 0, 0
    for _ in range(draws):
        some = random.choice(everybody, 64)
        low, high = studentized_interval(some, np.ones(64))
        too_low += high < mean
        too_high += low > mean
        percentile_too_low += bootstrap_interval(some)[1] < mean
    assert too_low < 0.15 * draws
    assert too_low < 0.6 * percentile_too_low
    assert too_high < 0.05 * draws
