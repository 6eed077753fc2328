"""What ``transformers`` makes of a Whisper, for the proof that its artifact gives the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from quantkit.arrays import FloatArray, IntArray
from quantkit.exporting.text_parity import BEAMS, TextReference

# Frames of the windows, the last one as long as the model hears, and tokens of the texts.
_FRAMES, _COUNTS = (200, 1_234, 3_000), (1, 4, 23)


def whisper_references(model: Any, seed: int = 0) -> tuple[TextReference, ...]:
    """Random windows and texts with the log-probabilities of ``transformers``.

    They are made before the artifact, so that the model need not stay in memory beside it.

    Args:
        model: a ``transformers.WhisperForConditionalGeneration``.
    """
    config, random = model.config, np.random.default_rng(seed)
    longest = 2 * int(config.max_source_positions)
    found = []
    for frames in dict.fromkeys(min(frames, longest) for frames in _FRAMES):
        shape = (1, int(config.num_mel_bins), frames)
        features = random.uniform(-1.0, 1.5, shape).astype(np.float32)
        hidden = _heard(model, features)
        for count in _COUNTS:
            tokens = random.integers(0, int(config.vocab_size), (BEAMS, count))
            log_probs = _log_probs(model, hidden, tokens)
            found.append(TextReference(features, tokens, log_probs))
    return tuple(found)


def _heard(model: Any, features: FloatArray) -> torch.Tensor:
    """(1, frames / 2, width) of the encoder of ``transformers``."""
    # Its encoder insists on whole windows; all that it does with shorter ones is to refuse them.
    encoder = model.model.encoder
    with torch.no_grad():
        given = torch.from_numpy(features)
        hidden = torch.nn.functional.gelu(encoder.conv1(given))
        hidden = torch.nn.functional.gelu(encoder.conv2(hidden)).permute(0, 2, 1)
        hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
        for layer in encoder.layers:
            made = layer(hidden, None)
            hidden = made[0] if isinstance(made, tuple) else made
        result: torch.Tensor = encoder.layer_norm(hidden)
    return result


def _log_probs(model: Any, hidden: torch.Tensor, tokens: IntArray) -> FloatArray:
    """(hypotheses, tokens, vocabulary) log-probabilities of ``transformers``."""
    with torch.no_grad():
        logits = model(
            encoder_outputs=(hidden.expand(len(tokens), -1, -1),),
            decoder_input_ids=torch.from_numpy(tokens),
            use_cache=False,
        ).logits
        result: FloatArray = logits.log_softmax(-1).numpy()
    return result
