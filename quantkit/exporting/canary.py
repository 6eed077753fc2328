"""Canary → an artifact of two files: the encoder, and the decoder with its memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from transformers.models.parakeet.modeling_parakeet import ParakeetEncoderModelOutput

from quantkit.exporting.encoder_decoder import (
    BATCH,
    Halves,
    Hearing,
    States,
    build_encoder_decoder,
)
from quantkit.exporting.greedy_text import Checkpoint, GreedyFamily
from quantkit.exporting.text_parity import BEAMS, TextReference
from quantkit.models.canary.checkpoint import load_canary
from quantkit.models.canary.network import CanaryDecoder, CanaryEncoder
from quantkit.runtime.canary.settings import CANARY as ENTRY
from quantkit.tasks.names import CANARY

# Frames of the traced example.
_FRAMES = 97
# Frames of the clips and tokens of the texts that are compared.
_LENGTHS, _COUNTS = (2, 9, 96, 301), (1, 4, 23)


def build_canary(model: Any, opset: int, scratch: Path) -> onnx.ModelProto:
    """The whole float32 graph, without metadata but the mark that it is to be cut.

    Inputs: ``features`` (clips, frames, bands) and those of
    :func:`~quantkit.exporting.encoder_decoder.build_encoder_decoder`.

    Args:
        scratch: a folder for the weights, which must stay while the graph is used.
    """
    config = model.config.decoder_config
    bands = int(model.config.encoder_config.num_mel_bins)
    layers, heads = int(config.num_hidden_layers), int(config.num_attention_heads)
    return build_encoder_decoder(
        Halves(CanaryEncoder(model), CanaryDecoder(model)),
        Hearing("features", torch.zeros(BATCH, _FRAMES, bands), {0: "clips", 1: "frames"}),
        # Any number of steps would do that is no other size of the example.
        States(layers, heads, int(config.head_dim), 13),
        opset,
        scratch,
    )


def _references(source: Checkpoint) -> Iterator[TextReference]:
    """Random clips and texts with the log-probabilities of ``transformers``."""
    model, random = source.model, np.random.default_rng(0)
    bands = int(model.config.encoder_config.num_mel_bins)
    for frames in _LENGTHS:
        heard = random.standard_normal((1, frames, bands)).astype(np.float32)
        with torch.no_grad():
            hidden = model.model.encoder(torch.from_numpy(heard)).last_hidden_state
        for count in _COUNTS:
            tokens = random.integers(0, int(model.config.vocab_size), (BEAMS, count))
            with torch.no_grad():
                logits = model(
                    encoder_outputs=ParakeetEncoderModelOutput(hidden.repeat(BEAMS, 1, 1)),
                    decoder_input_ids=torch.from_numpy(tokens),
                    use_cache=False,
                ).logits
            yield TextReference(heard, tokens, logits.log_softmax(-1).numpy(), time_axis=1)


FAMILY = GreedyFamily(CANARY, ENTRY, load_canary, build_canary, _references, hears_waveforms=False)
