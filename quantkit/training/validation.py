"""Character or word error rate of a model in training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import Levenshtein

from quantkit.errors import CorpusError
from quantkit.text.labels import Labels
from quantkit.training.batching import Batch
from quantkit.training.clips import ClipPreparer
from quantkit.training.mixture import Clip, joined_text, seconds_of

_CLIPS_PER_BATCH = 16


@dataclass(frozen=True)
class ErrorRate:
    """What errors are counted in.

    Args:
        name: such as ``CER``.
        unit: such as ``character``.
        units: of a text.
    """

    name: str
    unit: str
    units: Callable[[str], Sequence[str]]


CER = ErrorRate("CER", "character", list)
WER = ErrorRate("WER", "word", str.split)


@dataclass(frozen=True)
class ValidationScore:
    """Error rates, as shares of the reference's characters or words, by source."""

    by_source: dict[str, float]
    measure: ErrorRate = CER

    @property
    def mean(self) -> float:
        """Unweighted mean over the sources, which selects the best checkpoint."""
        return sum(self.by_source.values()) / len(self.by_source)

    @property
    def summary(self) -> str:
        """The mean and every source's score, as text."""
        sources = ", ".join(f"{name} {value:.1%}" for name, value in self.by_source.items())
        return f"{self.measure.name} {self.mean:.1%} ({sources})"

    @property
    def figures(self) -> dict[str, object]:
        """The same for a history, such as ``cer`` and ``cer_SOURCE``."""
        name = self.measure.name.lower()
        by_source = {f"{name}_{source}": value for source, value in self.by_source.items()}
        return {name: self.mean, **by_source}


def validate(
    transcribe: Callable[[Batch], Sequence[str]],
    sources: Mapping[str, Sequence[Clip]],
    labels: Labels,
    preparer: ClipPreparer,
    measure: ErrorRate = CER,
) -> ValidationScore:
    """Score the texts of the clips of every source.

    A clip that cannot be scored, because its transcript does not fit into its frames, counts as if
    nothing had been recognised, so that such clips do not improve the score.

    Args:
        transcribe: the text of each clip of a batch.

    Raises:
        CorpusError: a source has nothing to recognise.
    """
    scores: dict[str, float] = {}
    for name, clips in sources.items():
        errors = total = 0
        ordered = sorted(clips, key=seconds_of)
        for start in range(0, len(ordered), _CLIPS_PER_BATCH):
            group = ordered[start : start + _CLIPS_PER_BATCH]
            batch = preparer.validation_batch(group)
            wanted = sum(len(measure.units(joined_text(clip))) for clip in group)
            total += wanted
            # Counted as missed here; scored clips are subtracted below.
            errors += wanted
            if batch is None:
                continue
            targets = batch.targets.split(batch.target_lengths.tolist())
            for hypothesis, target in zip(transcribe(batch), targets, strict=True):
                reference = measure.units(labels.decode(target.tolist()))
                errors += Levenshtein.distance(reference, measure.units(hypothesis))
                errors -= len(reference)
        if not total:
            raise CorpusError(
                f"{name}: the validation clips contain no {measure.unit} to recognise"
            )
        scores[name] = errors / total
    return ValidationScore(scores, measure)
