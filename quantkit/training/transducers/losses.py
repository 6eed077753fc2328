"""Losses of transducers, per label of the targets.

That of TDT is the one of ``transformers``. Its RNN-T loss is a call of torchaudio, which has no
release for the PyTorch that quantkit is pinned to, so that loss is computed here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Logarithm of no probability: of two infinities, the sum has no gradient.
_NEVER = -1e30


def transducer_loss(
    model: Any, logits: Tensor, steps: Tensor, targets: Tensor, target_lengths: Tensor
) -> Tensor:
    """Negative logarithm of the probability of the targets, per label.

    Args:
        model: a ``ParakeetForRNNT`` or ``ParakeetForTDT``.
        logits: (batch, steps, labels + 1, outputs), see
            :func:`~quantkit.training.transducers.model.joint_logits`.
        steps: (batch,) of them that are valid.
        targets: (batch, labels), padded.
        target_lengths: (batch,) of them that are valid.

    Returns:
        ().
    """
    config = model.config
    labels = int(config.vocab_size)
    if logits.shape[-1] == labels:
        total = rnnt_loss(logits, targets, steps, target_lengths, config.blank_token_id).sum()
    else:
        total = model.loss_function(
            token_logits=logits[..., :labels],
            duration_logits=logits[..., labels:],
            labels=targets,
            logit_lengths=steps,
            label_lengths=target_lengths,
            blank_token_id=config.blank_token_id,
            durations=config.durations,
            reduction="sum",
        )
    return total / target_lengths.sum().clamp(min=1)


def rnnt_loss(
    logits: Tensor, targets: Tensor, steps: Tensor, target_lengths: Tensor, blank: int
) -> Tensor:
    """Negative logarithm of the probability of each target (Graves 2012, equations 15 to 17).

    A target's probability is the sum over all paths through the lattice of frames t and labels u.
    The forward variables of an anti-diagonal t + u = n depend on those of the one before only, and
    are computed together.

    Args:
        logits: (batch, steps, labels + 1, outputs).
        targets: (batch, labels), padded.
        steps, target_lengths: (batch,) valid ones, of steps one or more.
        blank: the output that ends a frame.

    Returns:
        (batch,).
    """
    batch, frames, places, _ = logits.shape
    log_probs = logits.float().log_softmax(-1)
    ends = log_probs[..., blank]
    # Behind the last label there is none; what is gathered for the padding lies on no path.
    wanted = torch.cat([targets, targets.new_full((batch, 1), blank)], 1).long()
    says = log_probs.gather(3, wanted[:, None, :, None].expand(-1, frames, -1, 1)).squeeze(3)
    ends, says = _by_diagonal(ends), _by_diagonal(says)
    impossible = logits.new_full((batch, 1), _NEVER, dtype=torch.float32)
    forward = torch.cat([impossible.new_zeros(batch, 1), impossible.expand(-1, places - 1)], 1)
    diagonals = [forward]
    for n in range(1, frames + places - 1):
        stays = forward + ends[:, n - 1]
        moves = torch.cat([impossible, (forward + says[:, n - 1])[:, :-1]], 1)
        forward = torch.logaddexp(stays, moves)
        diagonals.append(forward)
    # Each ends with a blank in its last frame, behind its last label.
    last = steps.long() - 1 + target_lengths.long()
    rows = torch.arange(batch, device=logits.device)
    found = (torch.stack(diagonals, 1) + ends)[rows, last, target_lengths.long()]
    return -found


def _by_diagonal(values: Tensor) -> Tensor:
    """(batch, frames, places) → (batch, frames + places - 1, places): row n has t = n - u.

    Where there is no such frame, it is :data:`_NEVER`.
    """
    batch, frames, places = values.shape
    # Rows of one more than the places, read with one less: each place begins one row later.
    rows = torch.nn.functional.pad(values.mT, (0, places), value=_NEVER)
    skewed = rows.reshape(batch, -1)[:, : places * (frames + places - 1)]
    return skewed.reshape(batch, places, frames + places - 1).mT
