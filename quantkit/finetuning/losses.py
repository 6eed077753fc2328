"""What a quantized model is trained by: the float model's posteriors, and transcripts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import ctc_loss

from quantkit.text.labels import Labels
from quantkit.training.criteria import asg_losses

_TOLERANCE = 1e-3
_LEAST = float(np.log(np.finfo(np.float32).tiny))


def log_posteriors(values: Tensor) -> Tensor:
    """(batch, frames, labels) log-probabilities, of what an output holds of them.

    As :func:`~quantkit.runtime.output_scale.scale_of` tells them apart: logarithms whose
    probabilities add up to one, or to two where those of durations stand beside those of labels,
    stay what they are; so do logarithms of probabilities that add up to one; logits are normalised.
    A label that is ruled out has the smallest probability that a float can hold.

    Args:
        values: (batch, frames, labels), or (batch, labels) of a classifier.
    """
    rows = values if values.ndim > 2 else values[:, None]
    known = rows.detach().float()
    totals = known.logsumexp(dim=-1)
    if any(bool((totals - np.log(sides)).abs().max() < _TOLERANCE) for sides in (1, 2)):
        return rows.clamp(min=_LEAST)
    sums = known.sum(dim=-1)
    if bool((known >= 0).all()) and bool((sums - 1).abs().max() < _TOLERANCE):
        return torch.log(rows.clamp(min=torch.finfo(rows.dtype).tiny))
    return torch.log_softmax(rows, dim=-1)


def divergence(teacher: Tensor, student: Tensor, lengths: Tensor | None) -> Tensor:
    """Mean Kullback-Leibler divergence of the student from the teacher, in nats per frame.

    Args:
        teacher, student: (batch, frames, labels) log-probabilities.
        lengths: (batch,) valid frames; None: all are.
    """
    each = (teacher.exp() * (teacher - student)).sum(dim=-1)
    if lengths is None:
        return each.mean()
    frame = torch.arange(each.shape[1])
    valid = frame < lengths[:, None]
    return torch.where(valid, each, 0.0).sum() / valid.sum().clamp(min=1)


def transcript_loss(
    student: Tensor, lengths: Tensor, targets: Sequence[list[int] | None], labels: Labels
) -> Tensor:
    """Loss of the model's criterion, CTC or ASG, in nats per frame of the clips with a transcript.

    A transcript that does not fit into its frames counts nothing.

    Args:
        student: (batch, frames, labels) log-probabilities.
        lengths: (batch,) valid frames.
        targets: labels of each clip; None: it has no transcript.
        labels: of the model; their transitions are not trained.
    """
    told = [i for i, target in enumerate(targets) if target]
    if not told:
        return student.new_zeros(())
    flat = [label for i in told for label in targets[i] or ()]
    counts = [len(targets[i] or ()) for i in told]
    heard, rows = lengths[told], student[told]
    given = (torch.tensor(flat), torch.tensor(counts))
    if labels.asg is not None:
        transitions = torch.from_numpy(labels.asg.matrix)
        return asg_losses(rows.float(), heard, *given, transitions).sum() / heard.sum()
    total: Tensor = ctc_loss(
        rows.transpose(0, 1),
        given[0],
        heard,
        given[1],
        blank=labels.blank,
        reduction="sum",
        zero_infinity=True,
    )
    return total / heard.sum()
