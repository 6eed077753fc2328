"""How far posteriors move: Kullback-Leibler divergence per frame, each frame with its weight."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from quantkit.arrays import Array, Booleans, FloatArray
from quantkit.errors import InputError, ModelError
from quantkit.runtime.output_scale import Scale, log_probabilities

#: How much a frame counts; see :func:`frame_weights`.
Weighting = Literal["uniform", "uncertain", "spoken"]
WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)

# No frame is forgotten, however sure the model is of it: an error may change that.
_FLOOR = 0.05
# Share of all frames that a CTC model's blank has at least.
_LEAST_BLANK = 0.2
_TINY = float(np.finfo(np.float32).tiny)


def log_posteriors(values: Array, scale: Scale, clip: str) -> FloatArray:
    """(frames, labels) natural log-probabilities from an output of any rank, labels last.

    An output of rank 2 for a batch of one, as classifiers have it, is one frame.

    Args:
        clip: what messages name the clip by.

    Raises:
        ModelError: NaN, or infinite where a logarithm of zero is not meant.
    """
    rows = _rows(values)
    # A label that is ruled out has log-probability -inf: a statement, if one that KL cannot bear.
    if np.isnan(rows).any() or np.isposinf(rows).any():
        raise ModelError(f"the posteriors are NaN or infinite on clip {clip}; check the model")
    return np.maximum(log_probabilities(rows, scale), np.log(_TINY)).astype(np.float32)


def counting(rows: FloatArray) -> Booleans:
    """(frames,) whether a row can tell two models apart.

    Where a model that hears in chunks has no row of the clip, its graph says that all labels but
    one are impossible. Both models say so, whatever they heard.

    Args:
        rows: (frames, labels) log-posteriors.
    """
    found: Booleans = (rows > np.float32(np.log(_TINY))).sum(axis=1) > 1
    # A label that is alone is possible in any row.
    return found if rows.shape[1] > 1 and found.any() else np.ones(len(rows), bool)


def frame_weights(clips: Iterable[FloatArray], weighting: Weighting) -> list[FloatArray]:
    """How much each frame counts, with mean 1 over all frames of all clips.

    The mean is taken over the corpus and not over each clip, so that clips with little speech count
    less than others.

    - ``uniform``: all frames count the same.
    - ``spoken``: frames of speech count 20 times as much as others. The label for no speech is the
      most frequent one on these clips: a CTC model's blank. If no label has a fifth of the frames,
      as with a decoder of tokens, there is none and all frames count the same; nor is there where
      durations stand beside the labels.
    - ``uncertain``: by the entropy of the frame; needs no such label.

    What counts in the end is transcripts. Over 28 variants of the shipped model (all layers or one
    at 1 to 4 bits, 100 LibriSpeech clips, edit distance up by less than half), the correlation of
    divergence and change of the edit distance is 0.80 for ``spoken``, 0.74 for ``uniform``, 0.72
    for ``uncertain``; by single clips 0.69, 0.65 and 0.65.

    Where each clip is one frame, as classifiers have it, all count the same.

    Args:
        clips: log-posteriors of the float model, (frames, labels) each; gone through twice.

    Returns:
        (frames,) for each clip.

    Raises:
        InputError: an unknown weighting.
    """
    if weighting not in WEIGHTINGS:
        raise InputError(f"unknown weighting {weighting!r}; choose one of {', '.join(WEIGHTINGS)}")
    weights = [np.ones(len(rows), np.float64) for rows in clips]
    if max(map(len, weights), default=0) <= 1:
        weighting = "uniform"
    if weighting == "uncertain":
        weights = [_FLOOR + _entropy(rows) for rows in clips]
    elif weighting == "spoken":
        mass = np.sum([np.exp(rows).sum(axis=0, dtype=np.float64) for rows in clips], axis=0)
        blank = int(mass.argmax())
        alone = mass.sum() < 1.5 * sum(map(len, weights))
        if alone and mass[blank] >= _LEAST_BLANK * mass.sum():
            weights = [np.where(rows.argmax(axis=1) == blank, _FLOOR, 1.0) for rows in clips]
    total = sum(float(each.sum()) for each in weights)
    frames = sum(len(each) for each in weights)
    return [(each * (frames / total)).astype(np.float32) for each in weights]


def divergence(reference: FloatArray, other: FloatArray, weights: FloatArray) -> float:
    """Σₜ weightₜ · KL(referenceₜ ‖ otherₜ) over the frames of one clip, in nats.

    Of distributions that stand side by side this is the sum of both divergences.

    Args:
        reference, other: (frames, labels) log-posteriors.
        weights: (frames,).
    """
    # Differences of float32 logarithms are exact enough; sums of thousands of them are not.
    per_label = np.exp(reference, dtype=np.float64) * (
        reference.astype(np.float64) - other.astype(np.float64)
    )
    return float((per_label.sum(axis=1) * weights).sum())


def _rows(values: Array) -> npt.NDArray[np.float64]:
    return values.reshape(-1, values.shape[-1]).astype(np.float64)


def _entropy(rows: FloatArray) -> npt.NDArray[np.float64]:
    """(frames,) in nats."""
    wide = rows.astype(np.float64)
    entropy: npt.NDArray[np.float64] = -(np.exp(wide) * wide).sum(axis=1)
    return entropy
