"""Our own prefix beam search, against every path there is and against flashlight-text."""

from __future__ import annotations

import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.text.flashlight_search import collapsed, flashlight, free_search, spaced
from quantkit.text.labels import Labels
from quantkit.text.prefix_beam import prefix_beam_search

ENGLISH = Labels.english()
ALL = 10_000  # wider than any beam of these tests can get


def noise(seed: int, frames: int, labels: int, sharpness: float) -> np.ndarray:
    """Random (frames, labels) log-probabilities; the sharper, the surer of one label."""
    logits = np.random.default_rng(seed).normal(size=(frames, labels)) * sharpness
    logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return np.ascontiguousarray(logits, dtype=np.float32)


def peaks(seed: int, frames: int) -> np.ndarray:
    """What a trained model writes: long runs of blanks, here and there a label, all of it sure."""
    generator = np.random.default_rng(seed)
    path = np.where(generator.random(frames) < 0.6, 0, generator.integers(0, 29, frames))
    logits = generator.normal(size=(frames, 29))
    logits[np.arange(frames), path] += generator.uniform(2, 12, frames)
    logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return np.ascontiguousarray(logits, dtype=np.float32)


def texts_of_all_paths(log_probs: np.ndarray, labels: Labels) -> dict[str, float]:
    """Log-probability of every text, by adding up all ``labels ** frames`` paths."""
    found: dict[str, float] = {}
    for path in product(range(len(labels)), repeat=len(log_probs)):
        score = float(log_probs[np.arange(len(path)), list(path)].sum(dtype=np.float64))
        text = spaced(labels, collapsed(path, labels.blank))
        found[text] = float(np.logaddexp(found.get(text, -np.inf), score))
    return found


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0.1, 4.0), st.integers(0, 2))
def test_a_wide_beam_finds_the_most_probable_of_all_texts(
    seed: int, frames: int, sharpness: float, blank: int
) -> None:
    tokens = ["a", "b"]
    tokens.insert(blank, "_")
    labels = Labels(tuple(tokens), blank=blank)
    log_probs = noise(seed, frames, 3, sharpness)
    exact = texts_of_all_paths(log_probs, labels)
    found = labels.decode(prefix_beam_search(labels, ALL)(log_probs))
    assert exact[found] == pytest.approx(max(exact.values()))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0.3, 8.0), st.sampled_from([1, 5, 20])
)
def test_it_writes_what_flashlight_writes_for_noise(
    seed: int, frames: int, sharpness: float, width: int
) -> None:
    pytest.importorskip("flashlight.lib.text.decoder")
    log_probs = noise(seed, frames, 29, sharpness)
    theirs = free_search(ENGLISH, width, flashlight().ZeroLM(), 0.0)
    assert prefix_beam_search(ENGLISH, width)(log_probs) == theirs(log_probs)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_it_writes_what_flashlight_writes_for_speech(seed: int, frames: int) -> None:
    pytest.importorskip("flashlight.lib.text.decoder")
    log_probs = peaks(seed, frames)
    theirs = free_search(ENGLISH, 20, flashlight().ZeroLM(), 0.0)
    assert prefix_beam_search(ENGLISH, 20)(log_probs) == theirs(log_probs)


def test_a_prefix_that_comes_back_is_still_the_same_prefix() -> None:
    # A prefix leaves the beam of four here and returns while a longer one that it began is still
    # in it. If the two were taken for strangers, their ways to one text would not be added up,
    # and "aab" would win.
    labels = Labels(("_", "a", "b"))
    rows = [[3, 5, 2], [1, 4, 5], [3, 6, 1], [4, 2, 4], [2, 7, 1], [2, 1, 7]]
    log_probs = np.log(np.array(rows, np.float32) / 10)
    exact = texts_of_all_paths(log_probs, labels)
    assert max(exact, key=lambda text: exact[text]) == "abab"
    assert prefix_beam_search(labels, 4)(log_probs) == labels.encode("abab")


def test_hypotheses_below_the_threshold_are_dropped() -> None:
    # "a" wins by its three alignments (0.64), but none of them comes near the all-blank path.
    labels = Labels(("_", "a"))
    log_probs = np.log(np.array([[0.6, 0.4], [0.6, 0.4]], np.float32))
    assert prefix_beam_search(labels, ALL)(log_probs) == [1]
    assert prefix_beam_search(labels, ALL, threshold=0.1)(log_probs) == []


@pytest.mark.parametrize("width", [1, 20])
def test_impossible_labels_are_no_obstacle(width: int) -> None:
    certain = np.full((3, 29), -np.inf, np.float32)
    certain[[0, 1, 2], [3, 0, 3]] = 0.0
    assert prefix_beam_search(ENGLISH, width)(certain) == ENGLISH.encode("aa")


def test_a_minute_of_speech_takes_seconds() -> None:
    log_probs = noise(0, 6_000, 29, 2.0)  # 100 frames a second
    begin = time.process_time()
    found = prefix_beam_search(ENGLISH, 20)(log_probs)
    assert time.process_time() - begin < 20, "seconds of processor time"
    assert len(found) > 1_000
