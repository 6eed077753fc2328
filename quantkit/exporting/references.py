"""PyTorch models that artifacts are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from quantkit.arrays import FloatArray
from quantkit.audio.frontend import Frontend
from quantkit.audio.frontends import AnyFrontend
from quantkit.models.wav2letter import Wav2Letter

# What Wav2Vec2FeatureExtractor adds to the variance of a clip.
_VARIANCE_FLOOR = 1e-7


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def _noise(counts: Sequence[int], generator: np.random.Generator) -> list[FloatArray]:
    """Waveforms, some of them soft and some loud."""
    loudness = 10.0 ** generator.uniform(-3.0, -0.5, len(counts))
    return [
        (scale * generator.standard_normal(n)).astype(np.float32)
        for scale, n in zip(loudness, counts, strict=True)
    ]


class Wav2LetterReference:
    """A Wav2Letter in evaluation mode.

    Args:
        frontend: the front end in front of it in NumPy, for artifacts that it is fused into.
    """

    name, unit = "PyTorch", "frames"
    # Odd and even, the shortest that the first convolution takes, and longer than its kernel of 48.
    lengths = (2, 3, 31, 64, 127, 300)

    def __init__(self, model: Wav2Letter, frontend: Frontend | None = None) -> None:
        self.model, self.frontend = model, frontend

    def clips(self, counts: Sequence[int], generator: np.random.Generator) -> list[FloatArray]:
        if self.frontend is None:
            bands = self.model.config.features
            return [generator.standard_normal((n, bands)).astype(np.float32) for n in counts]
        window, hop = self.frontend.window, self.frontend.hop
        surplus = generator.integers(0, hop, len(counts))
        samples = window + (np.array(counts) - 1) * hop + surplus
        return _noise(samples.tolist(), generator)

    def outputs(self, clips: Sequence[FloatArray]) -> list[FloatArray]:
        device = next(self.model.parameters()).device
        found = []
        for clip in clips:
            features = torch.from_numpy(clip if self.frontend is None else self.frontend(clip))
            with _evaluating(self.model):
                log_probs, lengths = self.model(
                    features[None].to(device), torch.tensor([len(features)], device=device)
                )
            found.append(log_probs[0, : int(lengths[0])].float().cpu().numpy())
        return found


class PretrainedReference:
    """A ``transformers`` model of waveforms, used unchanged.

    Args:
        standardized: whether its feature extractor brings clips to mean 0 and variance 1.
        window: samples of the shortest clip that gives a frame.
    """

    name, unit = "transformers", "samples"

    def __init__(self, model: PreTrainedModel, *, standardized: bool, window: int) -> None:
        self.model, self.standardized = model, standardized
        # The last samples that are in one frame only, the first that are in two, and some more.
        self.lengths = (window, window + 319, window + 320, 4_001, 16_000)

    def clips(self, counts: Sequence[int], generator: np.random.Generator) -> list[FloatArray]:
        return _noise(counts, generator)

    def outputs(self, clips: Sequence[FloatArray]) -> list[FloatArray]:
        found = []
        for clip in clips:
            samples = clip
            if self.standardized:
                samples = (clip - clip.mean()) / np.sqrt(clip.var() + _VARIANCE_FLOOR)
            with _evaluating(self.model):
                logits = self.model(torch.from_numpy(samples)[None]).logits
            found.append(torch.log_softmax(logits[0].float(), -1).numpy())
        return found


class FeatureReference:
    """A CTC model of ``transformers`` that takes features, used unchanged.

    Args:
        bands: of its features.
        frontend: what makes them.
        fused: whether the artifact makes them itself.
    """

    name = "transformers"

    def __init__(
        self, model: PreTrainedModel, bands: int, frontend: AnyFrontend, *, fused: bool
    ) -> None:
        self.model, self.bands, self.frontend, self.fused = model, bands, frontend, fused
        self.unit = "samples" if fused else "frames"
        shortest = frontend.frames_of(frontend.window)
        # Each of a few strides ends in the middle of a step, at its end, and before it.
        self.lengths: tuple[int, ...] = (shortest, shortest + 7, 64, 127, 300)
        if fused:
            self.lengths = (frontend.window, 4_001, 16_000)

    def clips(self, counts: Sequence[int], generator: np.random.Generator) -> list[FloatArray]:
        if self.fused:
            return _noise(counts, generator)
        return [generator.standard_normal((n, self.bands)).astype(np.float32) for n in counts]

    def outputs(self, clips: Sequence[FloatArray]) -> list[FloatArray]:
        found = []
        for clip in clips:
            features = torch.from_numpy(self.frontend(clip) if self.fused else clip)
            mask = torch.ones(1, len(features), dtype=torch.bool)
            with _evaluating(self.model):
                logits = self.model(features[None], attention_mask=mask).logits
            found.append(torch.log_softmax(logits[0].float(), -1).numpy())
        return found
