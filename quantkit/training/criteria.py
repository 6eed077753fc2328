"""What a recogniser is trained by: CTC, or the auto segmentation criterion (ASG).

CTC: Graves et al., "Connectionist Temporal Classification", 2006. ASG: Collobert, Puhrsch and
Synnaeve, "Wav2Letter: an End-to-End ConvNet-based Speech Recognition System", 2016, section 2.3,
equation 3; :mod:`quantkit.text.asg` is the same for one utterance, in NumPy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import ctc_loss

from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
from quantkit.text.asg import Asg
from quantkit.text.labels import Labels

#: Name of the transitions in the state of a model in training.
_TRANSITIONS = "transitions"


class Criterion(ABC):
    """Loss and labels of a model in training.

    Args:
        labels: its alphabet.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels

    def make_model(self, config: Wav2LetterConfig) -> Wav2Letter:
        """The model with all that is trained."""
        return Wav2Letter(config)

    @abstractmethod
    def total(
        self, model: Wav2Letter, log_probs: Tensor, lengths: Tensor, targets: Tensor, counts: Tensor
    ) -> Tensor:
        """(), the loss summed over the clips of a batch, in nats.

        Args:
            log_probs: (batch, frames, labels).
            lengths: (batch,) valid frames.
            targets: (sum of counts,) labels.
            counts: (batch,) labels of each clip.
        """

    def trained(self, model: Wav2Letter) -> tuple[Wav2Letter, Labels]:
        """What is stored: a Wav2Letter, and labels that hold what was trained beside it."""
        return model, self.labels

    def begun(self, source: Wav2Letter, labels: Labels | None) -> Wav2Letter:
        """A model as :meth:`make_model` makes it, with the weights of a checkpoint.

        Args:
            labels: of the checkpoint.
        """
        return source


class CtcCriterion(Criterion):
    """Labels with a blank."""

    def total(
        self, model: Wav2Letter, log_probs: Tensor, lengths: Tensor, targets: Tensor, counts: Tensor
    ) -> Tensor:
        """See :meth:`Criterion.total`; a clip that is too short counts nothing."""
        return ctc_total(log_probs, lengths, targets, counts, self.labels.blank)


def ctc_total(
    log_probs: Tensor, lengths: Tensor, targets: Tensor, counts: Tensor, blank: int
) -> Tensor:
    """(), CTC's loss summed over the clips of a batch, in nats; one that is too short counts
    nothing.

    Args:
        log_probs, lengths, targets, counts: see :meth:`Criterion.total`.
        blank: which label is none.
    """
    loss: Tensor = ctc_loss(
        log_probs.transpose(0, 1),
        targets,
        lengths,
        counts,
        blank=blank,
        reduction="sum",
        zero_infinity=True,
    )
    return loss


class AsgWav2Letter(Wav2Letter):
    """A Wav2Letter and the transitions between its labels, (labels, labels): from, to."""

    def __init__(self, config: Wav2LetterConfig) -> None:
        super().__init__(config)
        self.transitions = nn.Parameter(torch.zeros(config.labels, config.labels))


class AsgCriterion(Criterion):
    """Labels without a blank, repetition symbols, and learned transitions."""

    def make_model(self, config: Wav2LetterConfig) -> Wav2Letter:
        """See :meth:`Criterion.make_model`; all transitions begin at 0."""
        return AsgWav2Letter(config)

    def total(
        self, model: Wav2Letter, log_probs: Tensor, lengths: Tensor, targets: Tensor, counts: Tensor
    ) -> Tensor:
        """See :meth:`Criterion.total`; a clip that is too short counts nothing."""
        assert isinstance(model, AsgWav2Letter)
        return asg_losses(log_probs.float(), lengths, targets, counts, model.transitions).sum()

    def trained(self, model: Wav2Letter) -> tuple[Wav2Letter, Labels]:
        """See :meth:`Criterion.trained`."""
        assert isinstance(model, AsgWav2Letter)
        assert self.labels.asg is not None
        plain = Wav2Letter(model.config).to(model.transitions.device)
        state = {k: v for k, v in model.state_dict().items() if k != _TRANSITIONS}
        plain.load_state_dict(state)
        transitions = model.transitions.detach().cpu().numpy()
        asg = Asg.of(self.labels.asg.repeats, transitions)
        return plain.eval(), replace(self.labels, asg=asg)

    def begun(self, source: Wav2Letter, labels: Labels | None) -> Wav2Letter:
        """See :meth:`Criterion.begun`; transitions are those of ``labels``, if they are alike."""
        model = AsgWav2Letter(source.config)
        transitions = model.transitions.detach()
        if labels is not None and labels.asg is not None and labels.tokens == self.labels.tokens:
            transitions = torch.from_numpy(labels.asg.matrix)
        model.load_state_dict({**source.state_dict(), _TRANSITIONS: transitions})
        return model


def criterion_of(labels: Labels) -> Criterion:
    """The one that ``labels`` are for."""
    return CtcCriterion(labels) if labels.asg is None else AsgCriterion(labels)


def asg_losses(
    emissions: Tensor, lengths: Tensor, targets: Tensor, counts: Tensor, transitions: Tensor
) -> Tensor:
    """(batch,) losses in nats; 0 without a gradient where no path writes the target.

    Args:
        emissions: (batch, frames, labels) float32.
        lengths: (batch,) valid frames.
        targets: (sum of counts,) labels, none of which follows itself.
        counts: (batch,) labels of each clip, at least 1.
        transitions: (labels, labels): from, to.
    """
    batch, frames, _ = emissions.shape
    device = emissions.device
    lengths, counts = lengths.to(device), counts.to(device)
    possible = (counts > 0) & (counts <= lengths)
    written = nn.utils.rnn.pad_sequence(targets.to(device).split(counts.tolist()), True)
    if not written.shape[1]:
        return emissions.new_zeros(batch)
    stay = transitions[written, written]
    move = transitions[written[:, :-1], written[:, 1:]]
    # What each state of a target emits in each frame: (batch, frames, states).
    emitted = emissions.gather(2, written[:, None].expand(-1, frames, -1))
    never = torch.finfo(emissions.dtype).min / 1e6
    first = torch.arange(written.shape[1], device=device) == 0
    alpha = torch.where(first, emitted[:, 0], never)
    every = emissions[:, 0]
    wall = alpha.new_full((batch, 1), never)
    for frame in range(1, frames):
        inside = (frame < lengths)[:, None]
        moved = torch.cat([wall, alpha[:, :-1] + move], dim=1)
        alpha = torch.where(inside, torch.logaddexp(alpha + stay, moved) + emitted[:, frame], alpha)
        ahead = torch.logsumexp(every[:, :, None] + transitions, dim=1) + emissions[:, frame]
        every = torch.where(inside, ahead, every)
    ends = alpha.gather(1, (counts - 1).clamp(min=0)[:, None])[:, 0]
    return torch.where(possible, torch.logsumexp(every, dim=1) - ends, 0.0)
