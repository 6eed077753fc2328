"""Features of a stream are normalised by what was heard, and by what speech is expected to be."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.audio.frontend import Frontend
from quantkit.audio.kaldi_frontend import KaldiFrontend
from quantkit.audio.running_normalization import Expected, RunningNormalization, expected_of

FRONTEND = Frontend()
EXPECTED = Expected(-5.0, 12.0, 50)
ROWS = np.random.default_rng(0).normal(-6.0, 3.0, (300, 40))


def features(rows: np.ndarray, places: list[int], expected: Expected | None = EXPECTED):
    stream = RunningNormalization(FRONTEND, 20, 16, expected)
    pieces = np.split(rows, sorted(place for place in places if place <= len(rows)))
    return np.concatenate([*map(stream.accept, pieces), stream.finish()])


def test_a_group_is_normalised_by_all_rows_up_to_its_own_last() -> None:
    """By the formula in the module: here of the second group, rows 20 to 35."""
    known = ROWS[:36]
    w, n = 50, len(known)
    mean = (w * -5.0 + known.sum(0)) / (w + n)
    variance = (w * (12.0 + 25.0) + (known**2).sum(0)) / (w + n) - mean**2
    expected = (known[20:] - mean) / np.sqrt(variance + FRONTEND.variance_floor)
    np.testing.assert_allclose(features(ROWS, [])[20:36], expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(length=st.integers(0, 300), places=st.lists(st.integers(0, 300), max_size=12))
def test_pieces_change_nothing(length: int, places: list[int]) -> None:
    rows = ROWS[:length]
    np.testing.assert_allclose(features(rows, places), features(rows, []), rtol=1e-5, atol=1e-6)
    assert features(rows, places).shape == (length, 40)


def test_the_statistics_become_those_of_the_clip() -> None:
    """What is expected counts for less and less: an hour later for nothing."""
    long = np.tile(ROWS, (40, 1))
    whole = FRONTEND.normalized(long, long.mean(0), long.var(0))
    difference = np.abs(features(long, [])[-16:] - whole[-16:]).max()
    assert difference < 0.02 < np.abs(features(long, [])[:16] - whole[:16]).max()


def test_a_pause_at_the_beginning_stays_quieter_than_speech() -> None:
    pause = np.random.default_rng(1).normal(-9.0, 0.05, (40, 40))
    assert np.abs(features(pause, [])).mean() < 1.5
    alone = np.abs(features(pause, [], Expected(0.0, 0.0, 0))[-16:]).std()
    assert alone > 2 * np.abs(features(pause, [])[-16:]).std()


def test_a_front_end_that_normalises_nothing_expects_nothing() -> None:
    assert expected_of(KaldiFrontend(), 0.01) is None
    assert features(ROWS, [7], None).tolist() == ROWS.astype(np.float32).tolist()
    assert expected_of(FRONTEND, 0.01) == Expected(-5.0, 12.5, 50)
