"""Does a transducer's artifact give the numbers of ``transformers``?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from quantkit.arrays import FloatArray
from quantkit.errors import ParityError
from quantkit.exporting.parity import ParityCase, ParityReport, check_parity
from quantkit.runtime.transducer.network import TransducerNetwork
from quantkit.runtime.transducer.search import greedy_path
from quantkit.runtime.transducer.settings import TransducerSettings
from quantkit.text.labels import Labels

# Deeper than a Wav2Letter, with normalisations that bring up rounding.
_TOLERANCE = 1e-3
# Frames of the clips that are written down, and points of the path that are compared.
_WRITTEN, _MOST_POINTS = (40, 161), 60


class TransducerReference:
    """A ``ParakeetForRNNT`` or ``ParakeetForTDT``, used unchanged.

    Args:
        bands: of its features.
    """

    name, unit = "transformers", "frames"
    # Each of a few strides ends in the middle of a step, at its end, and before it.
    lengths = (2, 9, 64, 127, 300)

    def __init__(self, model: Any, bands: int) -> None:
        self.model, self.bands = model, bands

    def clips(self, counts: Sequence[int], generator: np.random.Generator) -> list[FloatArray]:
        return [generator.standard_normal((n, self.bands)).astype(np.float32) for n in counts]

    #: What else ``transformers`` is told.
    asked: Mapping[str, Any] = MappingProxyType({})

    def outputs(self, clips: Sequence[FloatArray]) -> list[FloatArray]:
        """What the joiner hears: (steps, width) of each clip."""
        found = []
        for clip in clips:
            features = torch.from_numpy(clip)[None]
            mask = torch.ones(features.shape[:2], dtype=torch.bool)
            with torch.no_grad():
                heard = self.model.get_audio_features(features, attention_mask=mask, **self.asked)
            found.append(heard.pooler_output[0].numpy())
        return found

    def points(
        self, encoded: FloatArray, frames: Sequence[int], texts: Sequence[Sequence[int]]
    ) -> FloatArray:
        """(points, labels and durations): log-probabilities after whole texts.

        Args:
            encoded: (steps, width) of a clip.
            frames: of each point.
            texts: the labels before each point, the first one included.
        """
        labels = int(self.model.config.vocab_size)
        rows = []
        for frame, text in zip(frames, texts, strict=True):
            with torch.no_grad():
                read = self.model.decoder(torch.tensor([[*text]]))[:, -1:]
                heard = torch.from_numpy(encoded[frame][None, None])
                scores = self.model.joint(encoder_hidden_states=heard, decoder_hidden_states=read)[
                    0, 0
                ]
            parts = (part for part in (scores[:labels], scores[labels:]) if len(part))
            rows.append(torch.cat([part.log_softmax(-1) for part in parts]).numpy())
        return np.stack(rows)


def check_transducer(
    reference: TransducerReference, settings: TransducerSettings, labels: Labels, path: Path
) -> ParityReport:
    """Compare the encoder on random batches, and the others along greedy paths.

    Raises:
        ParityError: a difference beyond the tolerance.
        ModelError: ``path`` does not load.
    """
    outputs = ("encoded", "encoded_lengths")
    report = check_parity(reference, path, tolerance=_TOLERANCE, outputs=outputs)
    network = TransducerNetwork.load(path, settings, threads=0)
    cases = tuple(written_case(reference, network, labels, frames) for frames in _WRITTEN)
    whole = replace(report, cases=(*report.cases, *cases))
    if not whole.worst.difference <= _TOLERANCE:
        raise ParityError(
            f"{path.name} differs from transformers: {whole.worst.where}, beyond the tolerance of "
            f"{_TOLERANCE:g}"
        )
    return whole


def written_case(
    reference: TransducerReference, network: TransducerNetwork, labels: Labels, frames: int
) -> ParityCase:
    """Along the artifact's own path through noise."""
    (clip,) = reference.clips([frames], np.random.default_rng(frames))
    (encoded,) = network.encode([clip])
    text = [*network.settings.start]
    places, texts, found = [], [], []
    for point in greedy_path(network, encoded, len(labels), labels.blank):
        places.append(point.frame)
        texts.append([*text])
        found.append(point.step.log_probs)
        if point.label != labels.blank:
            text.append(point.label)
        if len(found) == _MOST_POINTS:
            break
    expected = reference.points(encoded, places, texts)
    difference = np.abs(np.stack(found) - expected) / np.maximum(1.0, np.abs(expected))
    worst = float(difference.max()) if np.isfinite(difference).all() else float("inf")
    where = f"a text of {len(text)} labels after {frames} frames of noise: off by {worst:.3g}"
    return ParityCase(1, frames, worst, where)
