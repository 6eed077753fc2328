"""The models of a bench run on some of its clips."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from quantkit.benchmarking.schema import (
    BenchReport,
    ModelResult,
    SliceResult,
    UnlabelledResult,
)
from quantkit.report.formatting import Interval
from quantkit.slices.by import By
from quantkit.slices.counting import ScoredTexts
from quantkit.slices.errors import TextErrors, rare_in, summed, text_errors
from quantkit.slices.grouping import FEW_CLIPS, groups_of
from quantkit.slices.properties import ClipProperties
from quantkit.text.distances import ratio_interval


def slices_of(report: BenchReport, by: Sequence[By]) -> tuple[SliceResult, ...]:
    """All clips first, then each slice; of each the models in their order."""
    found = SlicedReport.of(report)
    named = [("all", "", tuple(found.texts[0]))]
    named += [(each.by, each.value, each.clips) for each in groups_of(report.clips, by)]
    return tuple(
        found.row(place, name, value, clips, report.seed)
        for name, value, clips in named
        for place in range(len(report.models))
    )


def with_rates(
    clips: Sequence[ClipProperties], unlabelled: Sequence[UnlabelledResult]
) -> tuple[ClipProperties, ...]:
    """Properties with the rate of speech where there is no transcript, from what a model writes."""
    texts = {each.id: each.hypothesis for each in unlabelled}
    return tuple(_with_rate(each, texts.get(each.clip, "")) for each in clips)


def _with_rate(clip: ClipProperties, text: str) -> ClipProperties:
    seconds = clip.measured.get("length", 0.0)
    if not text or not seconds or "rate" in clip.measured:
        return clip
    return replace(clip, measured={**clip.measured, "rate": len(text) / seconds})


@dataclass(frozen=True)
class SlicedReport:
    """The texts of a run, clip by clip.

    Args:
        models: their names.
        texts: of each model, by the name of the clip.
        references: transcripts, by the name of the clip.
        divergences: of each model, by the name of the clip, where they are known.
        counting: what is counted in them.
        rare: words.
    """

    models: tuple[str, ...]
    texts: tuple[Mapping[str, str], ...]
    references: Mapping[str, str]
    divergences: tuple[Mapping[str, float], ...]
    counting: ScoredTexts
    rare: frozenset[str]

    @classmethod
    def of(cls, report: BenchReport) -> SlicedReport:
        """The texts of a report."""
        references = {each.id: each.reference for each in report.models[0].utterances}
        texts = tuple({each.id: each.hypothesis for each in model.heard} for model in report.models)
        known = [*references.values()] or [*texts[0].values()]
        return cls(
            tuple(model.name for model in report.models),
            texts,
            references,
            tuple(dict(_divergences(model)) for model in report.models),
            ScoredTexts.of(
                report.counted, known, word_errors=any(m.wer is not None for m in report.models)
            ),
            frozenset(report.rare_words) or rare_in(known),
        )

    def errors(self, model: int, clip: str) -> TextErrors | None:
        """Of a model against a transcript; None without one."""
        if clip not in self.references:
            return None
        return self._edits(self.references[clip], self.texts[model][clip])

    def changed(self, model: int, clip: str) -> TextErrors:
        """Of a model against the first one's text."""
        return self._edits(self.texts[0][clip], self.texts[model][clip])

    def row(self, model: int, by: str, value: str, clips: Sequence[str], seed: int) -> SliceResult:
        """One model on some of the clips.

        Args:
            seed: of the interval.
        """
        heard = [clip for clip in clips if clip in self.texts[model]]
        errors = [found for clip in heard if (found := self.errors(model, clip)) is not None]
        nats = [self.divergences[model][clip] for clip in heard if clip in self.divergences[model]]
        return SliceResult(
            model=self.models[model],
            by=by,
            value=value,
            clips=len(heard),
            labelled=len(errors),
            errors=summed(errors),
            interval=_interval(errors, seed),
            changed=summed(self.changed(model, clip) for clip in heard) if model else None,
            divergence=math.fsum(nats) / len(nats) if nats else None,
        )

    def _edits(self, reference: str, hypothesis: str) -> TextErrors:
        words = self.counting.has_words
        is_rare = self.rare.__contains__
        return text_errors(reference, hypothesis, self.counting, is_rare, words=words)


def _divergences(model: ModelResult) -> Iterator[tuple[str, float]]:
    for each in model.heard:
        if each.divergence is not None:
            yield each.id, each.divergence


def _interval(errors: Sequence[TextErrors], seed: int) -> Interval | None:
    counts = [each.main[1] for each in errors]
    lengths = [each.reference_length for each in counts]
    if len(counts) < FEW_CLIPS or not sum(lengths):
        return None
    return ratio_interval([each.errors for each in counts], lengths, seed=seed)
