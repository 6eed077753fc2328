"""A small ``Wav2Vec2ForCTC`` to train, and what is trained beside it.

Baevski et al., "wav2vec 2.0", 2020. It is too small, and has heard too little, to be trained by
contrast as there; it learns to predict the hidden states of a teacher instead, as in Chang, Yang
and Lee, "DistilHuBERT: Speech Representation Learning by Layer-wise Distillation of Hidden-unit
BERT", ICASSP 2022, and then to spell.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import kl_div, smooth_l1_loss
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

from quantkit.errors import CheckpointError
from quantkit.models.dropout import replace_dropout
from quantkit.models.pretrained_files import weights_files
from quantkit.text.labels import Labels
from quantkit.training.keywords.filters import gabor_filters
from quantkit.training.wav2vec2.settings import Wav2Vec2Settings

_CONVOLUTIONS = "feature_extractor.conv_layers."
_FIRST_LAYER = f"wav2vec2.{_CONVOLUTIONS}0.conv.weight"


class Pupil(nn.Module):
    """A recogniser, and the projection from its frames to those of a teacher.

    Args:
        ctc: what is kept after training.
        settings: of its size.
        taught_width: of the teacher's hidden states; 0 without a teacher.
    """

    def __init__(self, ctc: Wav2Vec2ForCTC, settings: Wav2Vec2Settings, taught_width: int) -> None:
        super().__init__()
        self.ctc = ctc
        self.settings = settings
        self.to_teacher = nn.Linear(settings.hidden_size, taught_width) if taught_width else None

    def hidden(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's output.

        Args:
            waveforms: (batch, samples), zeros past each clip's end.
            lengths: (batch,) true samples.

        Returns:
            (batch, frames, hidden_size), and (batch,) int64 valid frames.
        """
        mask = torch.arange(waveforms.shape[1], device=waveforms.device) < lengths[:, None]
        hidden: Tensor = self.ctc.wav2vec2(waveforms, attention_mask=mask.long()).last_hidden_state
        frames = [self.settings.frames_of(length) for length in lengths.tolist()]
        return hidden, torch.tensor(frames, device=lengths.device)

    def log_probs(self, hidden: Tensor) -> Tensor:
        """(batch, frames, hidden_size) → (batch, frames, labels)."""
        logits: Tensor = self.ctc.lm_head(self.ctc.dropout(hidden))
        return logits.float().log_softmax(-1)

    def at_frames(self, taught: Tensor, frames: int, hop: int, centre: int) -> Tensor:
        """(batch, frames, width): the teacher's states in the middle of each frame.

        Args:
            taught: (batch, teacher's frames, width).
            hop, centre: of the teacher; see :class:`~quantkit.training.wav2vec2.teacher.Teacher`.
        """
        centres = torch.arange(frames, device=taught.device) * self.settings.hop
        return between(taught, (centres + self.settings.window / 2 - centre) / hop)

    def distance(self, hidden: Tensor, frames: Tensor, wanted: Tensor) -> Tensor:
        """(), mean distance of predicted states from those of the teacher.

        Args:
            hidden, frames: see :meth:`hidden`.
            wanted: see :meth:`at_frames`.
        """
        assert self.to_teacher is not None
        inside = torch.arange(hidden.shape[1], device=frames.device) < frames[:, None]
        return smooth_l1_loss(self.to_teacher(hidden).float()[inside], wanted[inside])

    def divergence(self, hidden: Tensor, frames: Tensor, logits: Tensor) -> Tensor:
        """(), in nats per frame, of the posteriors from the teacher's (Hinton et al. 2015).

        CTC from random weights first learns to write nothing, for hundreds of steps; a teacher says
        in which frame each letter is.

        Args:
            hidden, frames: see :meth:`hidden`.
            logits: (batch, frames, labels), of the teacher's states at these frames.
        """
        inside = torch.arange(hidden.shape[1], device=frames.device) < frames[:, None]
        said, wanted = self.log_probs(hidden)[inside], logits.float().log_softmax(-1)[inside]
        return kl_div(said, wanted, reduction="batchmean", log_target=True)


def between(rows: Tensor, positions: Tensor) -> Tensor:
    """(batch, positions, width): rows between which ``positions`` lie, interpolated linearly.

    >>> between(torch.tensor([[[0.0], [2.0], [6.0]]]), torch.tensor([0.5, 9.0])).flatten().tolist()
    [1.0, 6.0]
    """
    positions = positions.clamp(0, rows.shape[1] - 1)
    below = positions.floor().long()
    above = (below + 1).clamp(max=rows.shape[1] - 1)
    return torch.lerp(rows[:, below], rows[:, above], (positions - below)[:, None])


def new_wav2vec2(settings: Wav2Vec2Settings, labels: Labels) -> Wav2Vec2ForCTC:
    """A model to train: random weights, except for mel filters in the first layer."""
    config = Wav2Vec2Config(
        **asdict(settings),
        # Over a clip, as of the base model: loudness, channel and voice differ by clip.
        feat_extract_norm="group",
        # Trains from random weights without a long warm-up.
        do_stable_layer_norm=True,
        activation_dropout=0.0,
        attention_dropout=0.0,
        feat_proj_dropout=0.0,
        final_dropout=0.0,
        # Clips are masked as waveforms, which is reproducible.
        apply_spec_augment=False,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
        vocab_size=len(labels),
        pad_token_id=labels.blank,
        bos_token_id=None,
        eos_token_id=None,
        architectures=[Wav2Vec2ForCTC.__name__],
    )
    model = Wav2Vec2ForCTC(config)
    replace_dropout(model)
    # transformers draws weights for pretrained models to be put over them: 0.02 wide in layers of
    # any size.
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()
    filters = gabor_filters(settings.conv_dim[0], settings.conv_kernel[0], 16_000)
    with torch.no_grad():
        model.get_parameter(_FIRST_LAYER).copy_(torch.from_numpy(filters[:, None]))
    return model


def take_convolutions(model: Wav2Vec2ForCTC, folder: Path) -> int:
    """Begin with the first convolutions of a trained relative, as far as they are alike.

    Args:
        folder: a model of ``transformers`` with a feature encoder of wav2vec 2.0.

    Returns:
        how many were taken.

    Raises:
        CheckpointError: it is no such model, or its first convolution has another shape.
    """
    (name,) = weights_files(folder)[:1]
    try:
        found = load_file(name)
    # Damaged bytes raise errors of any kind.
    except Exception as error:
        raise CheckpointError(f"{name} cannot be loaded: {error}") from error
    theirs = {key.partition(_CONVOLUTIONS)[2]: each for key, each in found.items()}
    ours = model.wav2vec2.feature_extractor.conv_layers.state_dict()
    taken = 0
    for layer in range(len(model.config.conv_dim)):
        mine = {key: each for key, each in ours.items() if key.startswith(f"{layer}.")}
        if any(key not in theirs or theirs[key].shape != mine[key].shape for key in mine):
            break
        with torch.no_grad():
            for key, each in mine.items():
                each.copy_(theirs[key])
        taken += 1
    if not taken:
        raise CheckpointError(f"{folder} has no convolutions of the recipe's shapes to begin with")
    return taken
