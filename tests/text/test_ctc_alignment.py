"""The likeliest path that writes a text, against every path there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.arrays import FloatArray
from quantkit.text.ctc_alignment import ctc_alignment
from quantkit.text.flashlight_search import collapsed


def random_rows(seed: int, frames: int, labels: int) -> FloatArray:
    """(frames, labels) natural log-probabilities."""
    return np.log(np.random.default_rng(seed).dirichlet(np.ones(labels), frames))


def best_of_all_paths(rows: FloatArray, target: list[int]) -> list[tuple[int, int]] | None:
    """Frames of each label on the best of all ``labels ** frames`` paths that write ``target``."""
    frames, labels = rows.shape
    paths = [
        path
        for path in itertools.product(range(labels), repeat=frames)
        if collapsed(path, 0) == target
    ]
    if not paths:
        return None
    best = max(paths, key=lambda path: rows[np.arange(frames), list(path)].sum())
    runs = [list(run) for _, run in itertools.groupby(range(frames), key=lambda at: best[at])]
    return [(run[0], run[-1] + 1) for run in runs if best[run[0]]]


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.lists(st.integers(1, 2), min_size=1, max_size=4),
)
def test_it_is_the_best_of_all_paths(seed: int, frames: int, target: list[int]) -> None:
    rows = random_rows(seed, frames, 3)
    found = ctc_alignment(rows, target, blank=0)
    expected = best_of_all_paths(rows, target)
    spans = None if found is None else [(span.first, span.end) for span in found]
    assert spans == expected


def test_of_a_greedy_text_it_is_the_greedy_path() -> None:
    rows = random_rows(1, 400, 29)
    path = rows.argmax(axis=1)
    spans = ctc_alignment(rows, collapsed(path.tolist(), 0), blank=0)
    assert spans is not None
    written = np.zeros(400, np.int64)
    for span, label in zip(spans, collapsed(path.tolist(), 0), strict=True):
        written[span.first : span.end] = label
    np.testing.assert_array_equal(written, path)


def test_a_label_has_the_mean_log_probability_of_its_frames() -> None:
    rows = np.log(np.array([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1]]))
    (span,) = ctc_alignment(rows, [1], blank=0) or []
    assert (span.first, span.end) == (0, 2)
    assert span.log_prob == pytest.approx((np.log(0.8) + np.log(0.6)) / 2)


def test_the_blank_may_be_any_label() -> None:
    rows = np.log(np.array([[0.1, 0.9], [0.8, 0.2], [0.1, 0.9]]))
    assert [(s.first, s.end) for s in ctc_alignment(rows, [0], blank=1) or []] == [(1, 2)]


@pytest.mark.parametrize("target", [[1, 1], [1, 2, 1]])
def test_too_few_frames_write_nothing(target: list[int]) -> None:
    assert ctc_alignment(random_rows(0, 2, 3), target, blank=0) is None


def test_impossible_labels_are_no_part_of_a_path() -> None:
    with np.errstate(divide="ignore"):
        rows = np.log(np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert ctc_alignment(rows, [1, 1], blank=0) is None
    assert [(s.first, s.end) for s in ctc_alignment(rows, [1], blank=0) or []] == [(1, 2)]


def test_a_text_far_from_what_the_model_says_is_found_all_the_same() -> None:
    # The one path begins 90 nats behind the best of its frame.
    rows = np.full((3, 2), -90.0)
    rows[:2, 0] = 0.0
    rows[2, 1] = 0.0
    found = ctc_alignment(rows, [1, 1], blank=0)
    assert found is not None
    assert [(s.first, s.end) for s in found] == [(0, 1), (2, 3)]


def test_no_labels_have_no_frames() -> None:
    assert ctc_alignment(random_rows(0, 3, 3), [], blank=0) == []
