from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import kl_div

from quantkit.finetuning.losses import divergence, log_posteriors, transcript_loss
from quantkit.text.asg import Asg, asg_loss
from quantkit.text.labels import Labels

LABELS = Labels(("_", *"abcd"))


def _rows(seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.log_softmax(torch.randn(2, 6, 5), dim=-1)


def test_all_scales_of_an_output_become_log_probabilities() -> None:
    wanted = _rows(0)
    for values in (wanted, wanted + 3.0, wanted.exp()):
        torch.testing.assert_close(log_posteriors(values), wanted, atol=1e-5, rtol=1e-5)


def test_a_classifiers_output_is_one_frame() -> None:
    assert log_posteriors(torch.randn(3, 4)).shape == (3, 1, 4)


def test_divergence_is_the_mean_over_valid_frames_only() -> None:
    teacher, student = _rows(0), _rows(1)
    valid = [kl_div(student[0, :6], teacher[0, :6], log_target=True, reduction="sum")]
    valid.append(kl_div(student[1, :2], teacher[1, :2], log_target=True, reduction="sum"))
    found = divergence(teacher, student, torch.tensor([6, 2]))
    torch.testing.assert_close(found, sum(valid) / 8)
    assert divergence(teacher, teacher, None) == 0


def test_clips_without_a_transcript_do_not_count_in_ctc() -> None:
    student, lengths = _rows(0), torch.tensor([6, 6])
    assert transcript_loss(student, lengths, (None, None), LABELS) == 0
    both = transcript_loss(student, lengths, ([1, 2], [3]), LABELS)
    one = transcript_loss(student, lengths, ([1, 2], None), LABELS)
    other = transcript_loss(student, lengths, (None, [3]), LABELS)
    torch.testing.assert_close(both, (one + other) / 2)


def test_a_transcript_that_does_not_fit_counts_nothing() -> None:
    student = _rows(0)
    assert transcript_loss(student, torch.tensor([2, 2]), ([1, 1, 1], None), LABELS) == 0


def test_a_model_of_asg_learns_transcripts_with_its_transitions() -> None:
    labels = Labels(("_", *"abc")).without_blank()
    torch.manual_seed(0)
    transitions = torch.randn(5, 5)
    labels = replace(labels, asg=Asg.of(labels.asg.repeats, transitions.numpy()))
    student, lengths = _rows(0), torch.tensor([6, 4])
    found = transcript_loss(student, lengths, ([0, 1], [2, 3, 0]), labels)
    wanted = [
        asg_loss(student[0].numpy(), [0, 1], labels.asg.matrix),
        asg_loss(student[1, :4].numpy(), [2, 3, 0], labels.asg.matrix),
    ]
    assert found.item() == pytest.approx(sum(wanted) / 10, rel=1e-4)
