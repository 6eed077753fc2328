"""Character error rate of a model in training, by greedy decoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import Levenshtein
import torch

from quantkit.audio.utterance import Corpus
from quantkit.errors import CorpusError
from quantkit.models.wav2letter import Wav2Letter
from quantkit.text.decoders import greedy_decoder
from quantkit.text.labels import Labels
from quantkit.training.clips import ClipPreparer

_CLIPS_PER_BATCH = 16


@dataclass(frozen=True)
class ValidationScore:
    """Character error rate, a share of the reference's characters, by source."""

    by_source: dict[str, float]

    @property
    def mean(self) -> float:
        """Unweighted mean over the sources, which selects the best checkpoint."""
        return sum(self.by_source.values()) / len(self.by_source)

    @property
    def summary(self) -> str:
        """The mean and every source's score, as text."""
        sources = ", ".join(f"{name} {value:.1%}" for name, value in self.by_source.items())
        return f"CER {self.mean:.1%} ({sources})"


def validate(
    model: Wav2Letter,
    corpora: Mapping[str, Corpus],
    labels: Labels,
    preparer: ClipPreparer,
    device: torch.device,
    autocast: torch.dtype | None,
) -> ValidationScore:
    """Score ``model`` on every corpus; the model is left in evaluation mode.

    A clip that cannot be scored, because its transcript does not fit into its frames, counts as if
    nothing had been recognised, so that such clips do not improve the score.

    Raises:
        CorpusError: a corpus has no character to recognise.
    """
    model.eval()
    decode = greedy_decoder(labels)
    scores: dict[str, float] = {}
    for name, corpus in corpora.items():
        errors = characters = 0
        ordered = sorted(corpus, key=lambda u: u.seconds)
        for start in range(0, len(ordered), _CLIPS_PER_BATCH):
            clips = ordered[start : start + _CLIPS_PER_BATCH]
            batch = preparer.validation_batch(clips)
            wanted = sum(len(u.text or "") for u in clips)
            characters += wanted
            # Counted as missed here; scored clips are subtracted below.
            errors += wanted
            if batch is None:
                continue
            with (
                torch.inference_mode(),
                torch.autocast(device.type, dtype=autocast, enabled=autocast is not None),
            ):
                log_probs, lengths = model(batch.features.to(device), batch.lengths.to(device))
            targets = batch.targets.split(batch.target_lengths.tolist())
            every = log_probs.float().cpu().numpy()
            for rows, length, target in zip(every, lengths.tolist(), targets, strict=True):
                hypothesis = labels.decode(decode.labels_of(rows[:length]))
                reference = labels.decode(target.tolist())
                errors += Levenshtein.distance(reference, hypothesis) - len(reference)
        if not characters:
            raise CorpusError(f"{name}: the validation clips contain no character to recognise")
        scores[name] = errors / characters
    return ValidationScore(scores)
