"""The criteria in PyTorch, against those of one utterance in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
from quantkit.text.asg import Asg, asg_loss
from quantkit.text.labels import Labels
from quantkit.training.criteria import AsgWav2Letter, asg_losses, criterion_of

CONFIG = Wav2LetterConfig(features=8, labels=5, width=4, head_width=6, dropout=0.0)
LABELS = Labels(("_", *"abc")).without_blank()


def _batch(seed: int = 0) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(seed)
    emissions = torch.randn(4, 9, 5, requires_grad=True)
    targets = [[0, 1, 2], [3], [0, 4, 0, 1, 2, 3, 4, 0, 1, 2], [2, 1]]
    flat = torch.tensor([label for target in targets for label in target])
    counts = torch.tensor([len(target) for target in targets])
    transitions = torch.randn(5, 5, requires_grad=True)
    return emissions, torch.tensor([9, 6, 9, 2]), flat, counts, transitions


def test_each_clip_has_the_loss_that_it_has_alone() -> None:
    emissions, lengths, flat, counts, transitions = _batch()
    found = asg_losses(emissions, lengths, flat, counts, transitions)
    rows, steps = emissions.detach().numpy(), transitions.detach().numpy()
    for clip, target in enumerate(flat.split(counts.tolist())):
        wanted = asg_loss(rows[clip, : lengths[clip]], target.tolist(), steps)
        # The third has more labels than frames: no path, no loss.
        assert found[clip].item() == pytest.approx(wanted if clip != 2 else 0.0, abs=1e-3)


def test_gradients_are_those_of_differences() -> None:
    emissions, lengths, flat, counts, transitions = (
        each.double() if each.is_floating_point() else each for each in _batch()
    )
    assert torch.autograd.gradcheck(
        lambda rows, steps: asg_losses(rows, lengths, flat, counts, steps),
        (emissions.detach().requires_grad_(), transitions.detach().requires_grad_()),
    )


def test_frames_behind_a_clip_get_no_gradient() -> None:
    emissions, lengths, flat, counts, transitions = _batch()
    asg_losses(emissions, lengths, flat, counts, transitions).sum().backward()
    assert emissions.grad is not None
    assert torch.isfinite(emissions.grad).all()
    assert (emissions.grad[1, 6:] == 0).all()
    assert (emissions.grad[2] == 0).all()
    assert (emissions.grad[0] != 0).any(dim=1).all()


def test_transitions_are_trained_and_stored_with_the_labels() -> None:
    criterion = criterion_of(LABELS)
    model = criterion.make_model(CONFIG)
    assert isinstance(model, AsgWav2Letter)
    with torch.no_grad():
        model.transitions.copy_(torch.randn(5, 5))
    plain, labels = criterion.trained(model)
    assert type(plain) is Wav2Letter
    assert labels.tokens == LABELS.tokens
    np.testing.assert_allclose(labels.asg.matrix, model.transitions.detach(), atol=1e-4)
    again = criterion.begun(plain, labels)
    torch.testing.assert_close(again.state_dict(), model.state_dict(), atol=1e-4, rtol=0)


def test_transitions_of_other_labels_are_not_taken_over() -> None:
    criterion = criterion_of(LABELS)
    others = replace(LABELS, tokens=(*"xyz", "<1>", "<2>"), asg=Asg.of((3, 4), np.ones((5, 5))))
    begun = criterion.begun(Wav2Letter(CONFIG), others)
    assert isinstance(begun, AsgWav2Letter)
    assert (begun.transitions == 0).all()
