"""Does the exported Whisper give the numbers of ``transformers``?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from quantkit.arrays import FloatArray, IntArray
from quantkit.errors import ParityError
from quantkit.exporting.parity import TOLERANCE, ParityCase, ParityReport
from quantkit.graph.artifact import model_files, read_info
from quantkit.runtime.whisper.network import WhisperNetwork

# Frames of the windows, the last one as long as the model hears, and tokens of the texts.
_FRAMES, _COUNTS = (200, 1_234, 3_000), (1, 4, 23)
# Hypotheses for one clip, as in beam search.
_BEAMS = 3
# Dozens of layers, on noise that no model was trained on.
_TOLERANCE = 10 * TOLERANCE


@dataclass(frozen=True)
class WhisperReference:
    """What ``transformers`` makes of a window and texts.

    Args:
        features: (1, mel_bands, frames).
        tokens: (hypotheses, tokens).
        log_probs: (hypotheses, tokens, vocabulary).
    """

    features: FloatArray
    tokens: IntArray
    log_probs: FloatArray


def whisper_references(model: Any, seed: int = 0) -> tuple[WhisperReference, ...]:
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
            tokens = random.integers(0, int(config.vocab_size), (_BEAMS, count))
            log_probs = _log_probs(model, hidden, tokens)
            found.append(WhisperReference(features, tokens, log_probs))
    return tuple(found)


def check_whisper_parity(
    references: Sequence[WhisperReference], path: Path, tolerance: float = _TOLERANCE
) -> ParityReport:
    """Compare an artifact with its source on random windows and tokens.

    Each text is given at once, token by token with what the decoder remembers, and as one of
    several hypotheses for the same clip. The difference is ``|a - b| / max(1, |a|)`` of
    log-probabilities.

    Raises:
        ParityError: a difference above ``tolerance``.
        ModelError: ``path`` does not load.
    """
    read_info(path)
    encoder, decoder = model_files(path)
    network = WhisperNetwork.load(encoder, decoder, threads=0)
    cases = tuple(_cases(references, network))
    report = ParityReport(tolerance, cases)
    if not report.worst.difference <= tolerance:
        failed = sum(not case.difference <= tolerance for case in cases)
        raise ParityError(
            f"{path.name} differs from PyTorch in {failed} of {len(cases)} windows; the worst is "
            f"{report.worst.where}, beyond the tolerance of {tolerance:g}"
        )
    return report


def _cases(references: Sequence[WhisperReference], network: WhisperNetwork) -> Iterator[ParityCase]:
    for features, group in _by_window(references):
        encoded, frames = network.encode(features), features.shape[2]
        for reference in group:
            tokens, expected = reference.tokens, reference.log_probs
            count = tokens.shape[1]
            at_once, _ = network.step(
                tokens, encoded, network.empty_memory(_BEAMS), np.arange(count)
            )
            memory, steps = network.empty_memory(), []
            for token in tokens[0]:
                log_probs, memory = network.step(np.array([[token]]), encoded, memory)
                steps.append(log_probs[0, 0])
            text = f"a text of {count} tokens after {frames} frames"
            for found, wanted, how in (
                (at_once, expected, "at once"),
                (np.stack(steps), expected[0], "token by token"),
            ):
                difference = float(np.max(np.abs(found - wanted) / np.maximum(1.0, np.abs(wanted))))
                where = f"{text}, {how}: off by {difference:.3g}"
                # NaN compares as false with anything; it is no agreement.
                finite = difference if np.isfinite(difference) else float("inf")
                yield ParityCase(len(found) if found.ndim == 3 else 1, frames, finite, where)


def _by_window(
    references: Sequence[WhisperReference],
) -> Iterator[tuple[FloatArray, Iterator[WhisperReference]]]:
    for _, group in groupby(references, key=lambda each: id(each.features)):
        first, *others = group
        yield first.features, iter((first, *others))


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
