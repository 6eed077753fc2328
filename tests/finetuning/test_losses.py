from __future__ import annotations

import torch
from torch.nn.functional import kl_div

from quantkit.finetuning.losses import ctc, divergence, log_posteriors


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
    assert ctc(student, lengths, (None, None), 0) == 0
    both = ctc(student, lengths, ([1, 2], [3]), 0)
    one = ctc(student, lengths, ([1, 2], None), 0)
    other = ctc(student, lengths, (None, [3]), 0)
    torch.testing.assert_close(both, (one + other) / 2)


def test_a_transcript_that_does_not_fit_counts_nothing() -> None:
    student = _rows(0)
    assert ctc(student, torch.tensor([2, 2]), ([1, 1, 1], None), 0) == 0
