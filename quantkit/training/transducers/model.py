"""The transducer: a small ``ParakeetForRNNT`` or ``ParakeetForTDT``.

A FastConformer encoder (Rekesh et al. 2023), an LSTM that reads the labels so far, and a joiner.
"""

from __future__ import annotations

import copy
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from transformers import ParakeetForRNNT, ParakeetForTDT, PreTrainedModel

from quantkit.text.labels import Labels
from quantkit.training.transducers.settings import RnntSettings, TdtSettings


def new_transducer(settings: RnntSettings, labels: Labels) -> PreTrainedModel:
    """A model to train, of random weights: a TDT if ``settings`` has durations.

    Its padding token is the blank, so that the losses of ``transformers`` count padded labels as
    none for either kind.
    """
    kind: Any = ParakeetForRNNT
    durations: dict[str, list[int]] = {}
    if isinstance(settings, TdtSettings):
        kind = ParakeetForTDT
        durations = {"durations": [*range(settings.longest_duration + 1)]}
    config = kind.config_class(
        vocab_size=len(labels),
        blank_token_id=labels.blank,
        pad_token_id=labels.blank,
        decoder_hidden_size=settings.decoder_hidden_size,
        num_decoder_layers=settings.num_decoder_layers,
        encoder_config={
            "num_mel_bins": settings.mel_bands,
            "hidden_size": settings.hidden_size,
            "num_hidden_layers": settings.num_hidden_layers,
            "num_attention_heads": settings.num_attention_heads,
            "intermediate_size": settings.intermediate_size,
            "conv_kernel_size": settings.conv_kernel_size,
            "subsampling_factor": settings.subsampling_factor,
            "subsampling_conv_channels": settings.subsampling_conv_channels,
            "dropout": settings.dropout,
            "activation_dropout": settings.dropout,
            "attention_dropout": 0.0,
            "layerdrop": 0.0,
            # Embeddings of a small model are large enough as they are.
            "scale_input": False,
        },
        architectures=[kind.__name__],
        **durations,
    )
    model: PreTrainedModel = kind(config)
    # transformers draws weights for pretrained models to be put over them: 0.02 wide in layers of
    # any size, through which nothing of the sound would reach the encoder.
    for module in model.modules():
        if isinstance(reset := getattr(module, "reset_parameters", None), MethodType):
            reset()
    # What generation of transformers reads first, and what is no label.
    model.generation_config.decoder_start_token_id = labels.blank
    model.generation_config.suppress_tokens = [
        *range(len(labels), len(labels) + len(durations.get("durations", ())))
    ]
    return model


def with_outputs_of(model: Any, other: Any) -> Any:
    """A copy of ``other`` whose outputs are those of ``model``, of which it may be the other kind.

    Encoder, predictor and the scores of labels are the same in an RNN-T and a TDT. Scores of
    durations, which an RNN-T has none of, are those of ``model``.

    Args:
        model: the one that is trained.
        other: one that was trained; where it is of another size, it is returned as it is.
    """
    drawn, kept = model.joint.head, other.joint.head
    labels = int(model.config.vocab_size)
    if other.config.vocab_size != labels or kept.in_features != drawn.in_features:
        return other
    begun, head = copy.deepcopy(other), copy.deepcopy(drawn)
    with torch.no_grad():
        for ours, theirs in ((head.weight, kept.weight), (head.bias, kept.bias)):
            ours[:labels] = theirs[:labels]
            if len(ours) == len(theirs):
                ours.copy_(theirs)
    begun.joint.head = head
    return begun


def joint_logits(
    model: Any, features: Tensor, lengths: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Scores of every label, and of durations behind them, at every frame behind every text.

    Args:
        features: (batch, frames, bands), zeros past each clip's end.
        lengths: (batch,) true frames.
        targets: (batch, labels), padded with the blank.

    Returns:
        (batch, steps, labels + 1, outputs), and (batch,) valid steps.
    """
    heard = model.get_audio_features(
        input_features=features, attention_mask=within(lengths, features.shape[1])
    )
    # The text without labels is read as a blank.
    begun = targets.new_full((len(targets), 1), model.config.blank_token_id)
    read = model.decoder(torch.cat([begun, targets], dim=1))
    steps = heard.attention_mask.sum(-1)
    logits = model.joint(
        encoder_hidden_states=heard.pooler_output[:, : int(steps.max()), None],
        decoder_hidden_states=read[:, None],
    )
    return logits, steps


def within(lengths: Tensor, frames: int) -> Tensor:
    """(batch, frames), which of them are not behind a clip's end."""
    return torch.arange(frames, device=lengths.device)[None] < lengths[:, None]
