"""Moonshine → an artifact of two files: the encoder, and the decoder with its memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.moonshine.modeling_moonshine import MoonshineEncoderModelOutput
from transformers.models.moonshine_streaming.modeling_moonshine_streaming import (
    MoonshineStreamingEncoderModelOutput,
)

from quantkit.exporting.encoder_decoder import (
    BATCH,
    Halves,
    Hearing,
    States,
    build_encoder_decoder,
)
from quantkit.exporting.greedy_text import Checkpoint, GreedyFamily
from quantkit.exporting.text_parity import BEAMS, TextReference
from quantkit.models.moonshine.checkpoint import load_moonshine
from quantkit.models.moonshine.network import MoonshineDecoder, MoonshineEncoder
from quantkit.models.moonshine.streaming import MoonshineStreamingEncoder
from quantkit.runtime.moonshine.settings import MOONSHINE
from quantkit.tasks.names import MOONSHINE as TASK

# Samples of the traced example.
_SAMPLES = 4_001
# Samples of the clips that are compared, beside the shortest and one a little longer; tokens of the
# texts.
_LENGTHS, _COUNTS = (16_000, 48_003), (1, 4, 23)


def build_moonshine(model: Any, opset: int, scratch: Path) -> onnx.ModelProto:
    """The whole float32 graph, without metadata but the mark that it is to be cut.

    Inputs: ``waveform`` (clips, samples) and those of
    :func:`~quantkit.exporting.encoder_decoder.build_encoder_decoder`.

    Args:
        scratch: a folder for the weights, which must stay while the graph is used.
    """
    hears_frames = _hears_frames(model)
    decoder_layer = model.model.decoder.layers[0].self_attn
    size = int(decoder_layer.head_dim)
    heads = int(decoder_layer.q_proj.out_features) // size
    # Any number of steps would do that is no other size of the example.
    states = States(len(model.model.decoder.layers), heads, size, 9)
    return build_encoder_decoder(
        Halves(
            MoonshineStreamingEncoder(model) if hears_frames else MoonshineEncoder(model),
            MoonshineDecoder(model, heads),
        ),
        Hearing("waveform", torch.zeros(BATCH, _samples(model)), {0: "clips", 1: "samples"}),
        states,
        opset,
        scratch,
    )


def _samples(model: Any) -> int:
    """Of the traced example: of several blocks of attention; one would be traced as a constant."""
    if not _hears_frames(model):
        return _SAMPLES
    encoder = model.model.encoder
    largest = max(int(size) for window in encoder.config.sliding_windows for size in window)
    return 4 * int(encoder.embedder.frame_len) * (3 * largest + 2) + 1


def _hears_frames(model: Any) -> bool:
    """Whether it is of the second generation, "Moonshine streaming"."""
    return hasattr(model.config, "encoder_config")


def _references(source: Checkpoint) -> Iterator[TextReference]:
    """Random clips and texts with the log-probabilities of ``transformers``."""
    model, shortest = source.model, source.frontend.window
    random = np.random.default_rng(0)
    for samples in (shortest, shortest + 383, *_LENGTHS):
        loudness = 10.0 ** random.uniform(-2.0, -0.5)
        heard = (loudness * random.standard_normal((1, samples))).astype(np.float32)
        with torch.no_grad():
            hidden = _encoded(model, torch.from_numpy(heard))
        for count in _COUNTS:
            tokens = random.integers(0, int(model.config.vocab_size), (BEAMS, count))
            with torch.no_grad():
                logits = model(
                    encoder_outputs=_output_of(model)(hidden.repeat(BEAMS, 1, 1)),
                    decoder_input_ids=torch.from_numpy(tokens),
                    use_cache=False,
                ).logits
            yield TextReference(heard, tokens, logits.log_softmax(-1).numpy())


def _output_of(model: Any) -> type[BaseModelOutput]:
    if _hears_frames(model):
        return MoonshineStreamingEncoderModelOutput
    return MoonshineEncoderModelOutput


def _encoded(model: Any, waveform: Tensor) -> Tensor:
    """What the encoder of ``transformers`` makes of a clip as its processor prepares it."""
    mask: Tensor | None = None
    if _hears_frames(model):
        padding = -waveform.shape[1] % model.model.encoder.embedder.frame_len
        mask = functional.pad(torch.ones_like(waveform, dtype=torch.int64), (0, padding))
        waveform = functional.pad(waveform, (0, padding))
    hidden: Tensor = model.model.encoder(waveform, attention_mask=mask).last_hidden_state
    return hidden


FAMILY = GreedyFamily(
    TASK, MOONSHINE, load_moonshine, build_moonshine, _references, hears_waveforms=True
)
