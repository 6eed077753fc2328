"""The CTC loss against sums by hand and against PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from quantkit.errors import InputError
from quantkit.text.ctc import ctc_loss


def random_log_probs(frames: int, labels: int, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(frames, labels)) * 2
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def sum_over_paths(log_probs: np.ndarray, target: list[int]) -> float:
    """The definition: every frame-wise path that collapses to the target."""
    frames, labels = log_probs.shape
    total = 0.0
    for path in itertools.product(range(labels), repeat=frames):
        collapsed = [i for i, _ in itertools.groupby(path) if i != 0]
        if collapsed == target:
            total += float(np.exp(sum(log_probs[t, i] for t, i in enumerate(path))))
    return -np.log(total) if total else float("inf")


@pytest.mark.parametrize("target", [[], [1], [1, 1], [1, 2], [2, 1, 2], [1, 1, 1]])
def test_equals_the_sum_over_all_paths(target: list[int]) -> None:
    log_probs = random_log_probs(5, 3, seed=len(target))
    assert ctc_loss(log_probs, target) == pytest.approx(sum_over_paths(log_probs, target))


@pytest.mark.parametrize(("frames", "length"), [(1, 1), (20, 7), (80, 30), (200, 0)])
def test_equals_pytorch(frames: int, length: int) -> None:
    torch = pytest.importorskip("torch")
    log_probs = random_log_probs(frames, 29, seed=frames)
    target = np.random.default_rng(frames).integers(1, 29, size=length)
    expected = torch.nn.functional.ctc_loss(
        torch.from_numpy(log_probs)[:, None],
        torch.from_numpy(target)[None],
        [frames],
        [length],
        reduction="sum",
    )
    assert ctc_loss(log_probs, target.tolist()) == pytest.approx(float(expected), rel=1e-9)


def test_blank_may_have_any_index() -> None:
    log_probs = random_log_probs(6, 4, seed=3)
    moved = log_probs[:, [1, 2, 3, 0]]
    assert ctc_loss(moved, [0, 2], blank=3) == pytest.approx(ctc_loss(log_probs, [1, 3]))


def test_too_few_frames_give_infinity() -> None:
    assert ctc_loss(random_log_probs(2, 3, 0), [1, 1]) == float("inf")
    assert ctc_loss(np.zeros((0, 3)), [1]) == float("inf")
    assert ctc_loss(np.zeros((0, 3)), []) == 0.0


def test_impossible_labels_do_not_become_nan() -> None:
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    assert ctc_loss(log_probs, [2]) == float("inf")


@pytest.mark.parametrize("target", [[0], [3], [-1]])
def test_target_outside_the_labels_is_refused(target: list[int]) -> None:
    with pytest.raises(InputError, match="target"):
        ctc_loss(random_log_probs(4, 3, 0), target)


def test_batches_are_refused() -> None:
    with pytest.raises(InputError, match=r"not \(1, 4, 3\)"):
        ctc_loss(np.zeros((1, 4, 3)), [1])
