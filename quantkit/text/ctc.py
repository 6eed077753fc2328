"""The CTC loss of one utterance, in NumPy.

Graves, Fernández, Gomez and Schmidhuber, "Connectionist Temporal Classification", ICML 2006,
section 4.1, with the forward variables kept as logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from quantkit.errors import InputError


def ctc_loss(log_probs: npt.NDArray[np.floating], target: Sequence[int], blank: int = 0) -> float:
    """``-log P(target | log_probs)``, summed over all alignments.

    >>> uniform = np.full((2, 2), np.log(0.5))
    >>> round(ctc_loss(uniform, [1]), 4)  # three of the four paths spell it
    0.2877

    Args:
        log_probs: (frames, labels) natural log-probabilities.
        target: label indices without blanks.
        blank: index of the blank.

    Returns:
        nats; infinity if no alignment exists, for example because the clip has too few frames.

    Raises:
        InputError: log-probabilities that are not a matrix, or a target outside the labels.
    """
    if log_probs.ndim != 2:
        raise InputError(f"CTC needs (frames, labels) log-probabilities, not {log_probs.shape}")
    labels = np.asarray(target, dtype=np.int64)
    if labels.size and (labels.min() < 0 or labels.max() >= log_probs.shape[1]):
        raise InputError(f"a target label is outside the model's {log_probs.shape[1]} labels")
    if (labels == blank).any():
        raise InputError("a CTC target must not contain the blank")
    # l' of the paper: blanks before, between and after the labels.
    extended = np.full(2 * labels.size + 1, blank, dtype=np.int64)
    extended[1::2] = labels
    if not log_probs.shape[0]:
        return float("inf") if labels.size else 0.0
    emissions = log_probs[:, extended].astype(np.float64)
    # Skipping from s-2 to s is allowed onto a label that differs from the one before.
    skips = np.zeros(extended.size, dtype=bool)
    skips[3::2] = labels[1:] != labels[:-1]

    # Two cells of log 0 in front stand for s-1 and s-2 of the first states.
    alpha = np.full(extended.size + 2, -np.inf)
    alpha[2:4] = emissions[0, :2]
    blocked = np.where(skips, 0.0, -np.inf)
    for emission in emissions[1:]:
        stay_or_step = np.logaddexp(alpha[2:], alpha[1:-1])
        alpha[2:] = np.logaddexp(stay_or_step, alpha[:-2] + blocked) + emission
    return float(-np.logaddexp.reduce(alpha[2:][-2:]))
