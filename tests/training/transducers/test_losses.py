"""Both losses are sums over all paths, which are listed here one by one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from quantkit.text.labels import Labels
from quantkit.training.transducers.losses import rnnt_loss, transducer_loss
from quantkit.training.transducers.model import new_transducer
from tests.training.transducers.conftest import SMALL

LABELS = Labels(("<blank>", "a", "b", "c"))
BLANK = 0


def rnnt_paths(log_probs: Tensor, target: list[int]) -> Iterator[Tensor]:
    """The log-probability of each path of an RNN-T through (frames, places, outputs)."""

    def walk(frame: int, place: int, score: Tensor) -> Iterator[Tensor]:
        if frame == len(log_probs):
            if place == len(target):
                yield score
            return
        yield from walk(frame + 1, place, score + log_probs[frame, place, BLANK])
        if place < len(target):
            yield from walk(frame, place + 1, score + log_probs[frame, place, target[place]])

    yield from walk(0, 0, torch.zeros(()))


def tdt_paths(
    log_probs: Tensor, durations: Tensor, target: list[int], frame: int = 0, place: int = 0
) -> Iterator[Tensor]:
    """The same of a TDT, whose last step is a blank that ends with the clip."""
    for length in range(durations.shape[-1]):
        behind = frame + length
        if length and behind <= len(log_probs):
            step = log_probs[frame, place, BLANK] + durations[frame, place, length]
            if behind == len(log_probs):
                if place == len(target):
                    yield step
            else:
                for rest in tdt_paths(log_probs, durations, target, behind, place):
                    yield step + rest
        if place < len(target) and behind < len(log_probs):
            step = log_probs[frame, place, target[place]] + durations[frame, place, length]
            for rest in tdt_paths(log_probs, durations, target, behind, place + 1):
                yield step + rest


def scores(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3)).requires_grad_(True)


TARGETS = [[1, 2, 2], [3], []]
STEPS = [4, 3, 2]


def padded() -> tuple[Tensor, Tensor, Tensor]:
    """Targets, their lengths, and the frames of a batch with padding in both directions."""
    rows = [[*target, *([BLANK] * (3 - len(target)))] for target in TARGETS]
    return torch.tensor(rows), torch.tensor([len(t) for t in TARGETS]), torch.tensor(STEPS)


def test_the_rnnt_loss_is_the_sum_over_all_paths() -> None:
    logits = scores(3, 4, 4, 4)
    targets, lengths, steps = padded()
    found = rnnt_loss(logits, targets, steps, lengths, BLANK)
    log_probs = logits.log_softmax(-1)
    listed = torch.stack(
        [
            -torch.stack([*rnnt_paths(log_probs[i, : STEPS[i]], TARGETS[i])]).logsumexp(0)
            for i in range(3)
        ]
    )
    assert torch.allclose(found, listed, atol=1e-5)
    ours, theirs = (torch.autograd.grad(each.sum(), logits)[0] for each in (found, listed))
    assert torch.allclose(ours, theirs, atol=1e-5)
    # What is behind the end of a clip or of its text has no influence.
    assert not ours[1, 3].any()
    assert not ours[1, :, 2:].any()


@pytest.mark.parametrize("task", ["rnnt", "tdt"])
def test_the_loss_of_a_model_is_per_label(task: str) -> None:
    model = new_transducer(SMALL[task], LABELS).train()
    logits = scores(3, 4, 4, 4 + (3 if task == "tdt" else 0))
    targets, lengths, steps = padded()
    found = transducer_loss(model, logits, steps, targets, lengths)
    log_probs, durations = logits[..., :4].log_softmax(-1), logits[..., 4:].log_softmax(-1)
    listed = [
        torch.stack(
            [*tdt_paths(log_probs[i, : STEPS[i]], durations[i], TARGETS[i])]
            if task == "tdt"
            else [*rnnt_paths(log_probs[i, : STEPS[i]], TARGETS[i])]
        ).logsumexp(0)
        for i in range(3)
    ]
    assert torch.allclose(found, -torch.stack(listed).sum() / 4, atol=1e-5)
    (gradient,) = torch.autograd.grad(found, logits)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("task", ["rnnt", "tdt"])
def test_a_batch_in_which_nobody_speaks_has_a_loss(task: str) -> None:
    model = new_transducer(SMALL[task], LABELS).train()
    logits = scores(2, 5, 1, 4 + (3 if task == "tdt" else 0))
    nothing = torch.zeros(2, 0, dtype=torch.int64)
    found = transducer_loss(
        model, logits, torch.tensor([5, 2]), nothing, torch.zeros(2, dtype=torch.int64)
    )
    (gradient,) = torch.autograd.grad(found, logits)
    assert found > 0
    assert torch.isfinite(gradient).all()
    assert gradient.any()
