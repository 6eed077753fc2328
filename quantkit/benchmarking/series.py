"""What a gate compares, clip by clip: how much was wrong before, and how much now.

=============  ==========================================  =======================================
criterion      of a clip                                   as a whole
=============  ==========================================  =======================================
levenshtein    edits of letters, or of other labels        mean per clip
wer            edits of words                              share of the words of the transcripts
changed        words, or labels, that are not those that   share of what the first model writes
               the first model of the run writes
divergence     nats per frame from that model              mean per clip
=============  ==========================================  =======================================

Of the first, last and rare words (``--by words``) it is the words that are wrong, as a share of all
such words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quantkit.arrays import Doubles
from quantkit.benchmarking.baseline import Tolerance
from quantkit.benchmarking.figures import Figures, ModelFigures
from quantkit.slices.counting import ScoredTexts
from quantkit.slices.errors import Part, TextErrors, rare_in, text_errors
from quantkit.text.units import unit_named

#: Criteria that are means over clips, so that slices can be held to them.
OF_CLIPS = ("levenshtein", "wer", "changed", "divergence")
#: What means over clips count.
IN_WORDS = {
    "levenshtein": "edits per utterance",
    "wer": "word error rate",
    "changed": "of the text changed",
    "divergence": "nats per frame",
}
#: Parts of the words, as slices of ``words``.
PARTS: Mapping[str, Callable[[TextErrors], Part]] = {
    "first": lambda errors: errors.first,
    "last": lambda errors: errors.last,
    "rare": lambda errors: errors.rare,
}

_RENEW = "renew it with --update"
_NO_TEXTS = f"the baseline holds no texts; {_RENEW}"

_Amounts = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """One model by one criterion, clip by clip.

    Args:
        clips: names.
        before, after: of each clip, such as edits.
        weights: what these are of, such as words; ones where the mean over clips is meant.
    """

    clips: tuple[str, ...]
    before: Doubles
    after: Doubles
    weights: Doubles

    @property
    def levels(self) -> tuple[float, float]:
        """As a whole, before and after."""
        total = max(math.fsum(self.weights), 1e-300)
        return math.fsum(self.before) / total, math.fsum(self.after) / total

    def excess(self, tolerance: Tolerance) -> Doubles:
        """How much worse each clip got than is tolerated: positive on average if the whole is."""
        allowed = tolerance.relative * self.before + tolerance.absolute * self.weights
        found: Doubles = self.after - self.before - allowed
        return found

    def of(self, clips: Collection[str]) -> Series:
        """Some of the clips."""
        wanted = set(clips)
        kept = np.array([clip in wanted for clip in self.clips], bool)
        names = tuple(clip for clip in self.clips if clip in wanted)
        return Series(names, self.before[kept], self.after[kept], self.weights[kept])


@dataclass(frozen=True)
class Pair:
    """A model then and now.

    Args:
        old, new: its figures.
        old_first, new_first: of the model that its texts are compared with where there are no
            transcripts.
    """

    old: ModelFigures
    new: ModelFigures
    old_first: ModelFigures
    new_first: ModelFigures


class ClipSeries:
    """The series of one model.

    Args:
        figures: of the run.
        pair: the model then and now.
    """

    def __init__(self, figures: Figures, pair: Pair) -> None:
        self._figures, self.pair = figures, pair
        known = [*figures.references.values()] or [*pair.new_first.texts.values()]
        self._texts = ScoredTexts.of(
            unit_named(figures.unit), known, word_errors=figures.word_errors
        )
        self._rare = frozenset(figures.rare_words) or rare_in(known)

    def series(self, criterion: str) -> Series | str:
        """By one of :data:`OF_CLIPS`; or why it is not known."""
        old, new = self.pair.old, self.pair.new
        if criterion in ("levenshtein", "wer") and not self._figures.references:
            return "there are no transcripts"
        if criterion == "levenshtein":
            return _paired(_ones(old.distances), _ones(new.distances))
        if criterion == "divergence":
            if not new.divergences:
                return "the probabilities of these models are not compared"
            if not old.divergences:
                return f"the baseline holds no divergences; {_RENEW}"
            return _paired(_ones(old.divergences), _ones(new.divergences))
        if criterion == "wer" and not self._texts.has_words:
            return "the texts have no words"
        if not self._has_texts:
            return _NO_TEXTS
        both = self._errors if criterion == "wer" else self._changes
        return _paired(*(_main(each) for each in both))

    def part(self, name: str) -> Series | str:
        """Words of one of :data:`PARTS` that are wrong; without transcripts, that changed."""
        if not self._texts.has_words:
            return "the texts have no words"
        if not self._has_texts:
            return _NO_TEXTS
        of = PARTS[name]
        both = self._errors if self._figures.references else self._changes
        found = _paired(
            *(
                {clip: (of(e).errors, of(e).total) for clip, e in each.items() if of(e).total}
                for each in both
            )
        )
        return found if found.clips else f"there are no {name} words"

    @property
    def _has_texts(self) -> bool:
        pair = self.pair
        clips = pair.new.texts.keys()
        return bool(clips) and all(
            each.texts.keys() >= clips for each in (pair.old, pair.old_first, pair.new_first)
        )

    @cached_property
    def _errors(self) -> tuple[Mapping[str, TextErrors], Mapping[str, TextErrors]]:
        references = self._figures.references
        return self._against(references, self.pair.old), self._against(references, self.pair.new)

    @cached_property
    def _changes(self) -> tuple[Mapping[str, TextErrors], Mapping[str, TextErrors]]:
        pair, clips = self.pair, self.pair.new.texts
        before = {clip: pair.old_first.texts[clip] for clip in clips}
        after = {clip: pair.new_first.texts[clip] for clip in clips}
        return self._against(before, pair.old), self._against(after, pair.new)

    def _against(
        self, references: Mapping[str, str], model: ModelFigures
    ) -> Mapping[str, TextErrors]:
        return {
            clip: text_errors(
                text,
                model.texts[clip],
                self._texts,
                self._rare.__contains__,
                words=self._texts.has_words,
            )
            for clip, text in references.items()
        }


def _ones(values: Mapping[str, float]) -> _Amounts:
    return {clip: (value, 1.0) for clip, value in values.items()}


def _main(errors: Mapping[str, TextErrors]) -> _Amounts:
    counts = {clip: each.main[1] for clip, each in errors.items()}
    return {clip: (each.errors, each.reference_length) for clip, each in counts.items()}


def _paired(before: _Amounts, after: _Amounts) -> Series:
    clips = tuple(sorted(before.keys() & after.keys()))
    return Series(
        clips,
        np.array([before[clip][0] for clip in clips], np.float64),
        np.array([after[clip][0] for clip in clips], np.float64),
        np.array([after[clip][1] for clip in clips], np.float64),
    )
