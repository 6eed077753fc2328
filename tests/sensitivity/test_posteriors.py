"""Posteriors are found in whatever a model says, and compared frame by frame."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr, softmax

from quantkit.errors import InputError, ModelError
from quantkit.sensitivity.posteriors import (
    divergence,
    frame_weights,
    log_posteriors,
)

RANDOM = np.random.default_rng(4)
LOGITS = RANDOM.standard_normal((1, 9, 6)).astype(np.float32) * 3


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (LOGITS, "logits"),
        (softmax(LOGITS, -1), "probabilities"),
        (log_softmax(LOGITS, -1), "log-probabilities"),
    ],
)
def test_every_scale_leads_to_the_same_log_probabilities(values, scale) -> None:
    found = log_posteriors(values, scale, "clip")
    np.testing.assert_allclose(found, log_softmax(LOGITS, -1)[0], atol=1e-5)


def test_output_of_a_classifier_is_one_frame() -> None:
    assert log_posteriors(np.zeros((1, 5), np.float32), "logits", "clip").shape == (1, 5)


def test_label_that_is_ruled_out_is_no_error_but_nan_and_infinity_are() -> None:
    certain = np.array([[0.0, -np.inf]], np.float32)
    rows = log_posteriors(certain, "log-probabilities", "clip")
    assert np.isfinite(rows).all()
    assert divergence(rows, rows, np.ones(1, np.float32)) == 0.0
    for bad in (np.nan, np.inf):
        with pytest.raises(ModelError, match="NaN or infinite on clip seven"):
            log_posteriors(np.array([[bad, 0.0]], np.float32), "logits", "seven")


def test_divergence_is_the_weighted_sum_of_kullback_and_leiblers() -> None:
    reference, other = log_softmax(LOGITS[0], -1), log_softmax(LOGITS[0][::-1], -1)
    weights = RANDOM.uniform(0, 2, 9).astype(np.float32)
    expected = (rel_entr(np.exp(reference), np.exp(other)).sum(axis=-1) * weights).sum()
    assert divergence(reference, other, weights) == pytest.approx(expected, rel=1e-5)
    assert divergence(reference, reference, weights) == 0.0


@pytest.mark.parametrize("weighting", ["uniform", "uncertain", "spoken"])
def test_weights_have_mean_one_over_all_clips(weighting) -> None:
    clips = [log_softmax(RANDOM.standard_normal((n, 6)) * 4, -1) for n in (3, 50, 1)]
    weights = frame_weights(clips, weighting)
    assert [len(each) for each in weights] == [3, 50, 1]
    assert np.concatenate(weights).mean() == pytest.approx(1.0, abs=1e-6)
    assert min(each.min() for each in weights) > 0


def test_frames_that_say_something_count_more_than_blanks() -> None:
    """Label 2 is the most frequent one here, wherever a model has its blank."""
    logits = np.zeros((20, 5), np.float32)
    logits[:, 2] = 9.0
    logits[7] = [0, 0, 0, 9.0, 0]
    logits[8] = 0.0
    silence = np.zeros((10, 5), np.float32)
    silence[:, 2] = 9.0
    clips = [log_softmax(logits, -1), log_softmax(silence, -1)]
    spoken, quiet = frame_weights(clips, "spoken")
    assert spoken[7] == spoken[8] == pytest.approx(20 * spoken[0])
    assert spoken.mean() > quiet.mean()
    uncertain, _ = frame_weights(clips, "uncertain")
    assert uncertain.argmax() == 8


@pytest.mark.parametrize("weighting", ["uncertain", "spoken"])
def test_clips_of_one_frame_count_the_same(weighting) -> None:
    """A class that many clips belong to is no blank."""
    clips = [log_softmax(LOGITS[0][[i]], -1) for i in range(9)]
    assert [float(each[0]) for each in frame_weights(clips, weighting)] == [1.0] * 9


def test_unknown_weighting() -> None:
    with pytest.raises(InputError, match="choose one of uniform"):
        frame_weights([], "loud")
