"""For whom a quantized model is worse: slices of clips on which it was compared with its float one.

No transcripts are needed. Where clips have some, the errors of both models are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from quantkit.audio.augmentation.alteration import Alteration
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.estimate import Estimate, estimated
from quantkit.sensitivity.model_divergence import ClipComparison, compare_models
from quantkit.sensitivity.posteriors import Weighting
from quantkit.slices.by import USUAL, By
from quantkit.slices.errors import TextErrors, rare_words_of, summed, text_errors
from quantkit.slices.grouping import FEW_CLIPS, groups_of
from quantkit.slices.properties import (
    ClipProperties,
    needs_sound,
    properties_of,
    require_possible,
)
from quantkit.text.scoring import TextScoring
from quantkit.text.scripts import script_without_spaces

# Values above which a table of them is of no use, unless they were asked for.
_MOST_VALUES = 40


@dataclass(frozen=True)
class Wanted:
    """What slices a user wants.

    Args:
        by: properties; none: the usual ones that the corpus has.
        rare_words: a list of them; None: those that are rare in the corpus.
        sounds: what all clips are altered by, to be heard once more each.
    """

    by: tuple[By, ...] = ()
    rare_words: frozenset[str] | None = None
    sounds: tuple[Alteration, ...] = ()


@dataclass(frozen=True)
class Slice:
    """Some of the clips.

    Args:
        by: the property that they share, such as ``speaker``; ``all`` for all clips.
        value: of it.
        clips: how many.
        divergence: in nats per frame, token or clip.
        changed: what is different in the file's texts from float32's; None without texts.
        float32, file: errors of both models, where clips have transcripts.
    """

    by: str
    value: str
    clips: int
    divergence: Estimate
    changed: TextErrors | None = None
    float32: TextErrors | None = None
    file: TextErrors | None = None

    @property
    def name(self) -> str:
        """``speaker: ann``; of few clips with their number."""
        if self.by == "all":
            return "all"
        return f"{self.by}: {self.value}"

    @property
    def is_small(self) -> bool:
        """Whether there are too few clips to say much."""
        return self.clips < FEW_CLIPS

    @property
    def changed_share(self) -> float | None:
        """Of float32's words, or of what else its texts are counted in."""
        if self.changed is None:
            return None
        counts = self.changed.main[1]
        return counts.rate if counts.reference_length else float(bool(counts.errors))

    def to_json(self) -> Mapping[str, object]:
        """For programs."""
        errors = None
        if self.float32 is not None and self.file is not None:
            unit, float32 = self.float32.main
            errors = {
                "unit": unit,
                "float32": float32.errors,
                "file": self.file.main[1].errors,
                "total": float32.reference_length,
            }
        return {
            "by": self.by,
            "value": self.value,
            "clips": self.clips,
            "few_clips": self.is_small,
            "divergence": self.divergence.mean,
            "interval": self.divergence.interval,
            "changed": self.changed_share,
            "errors": errors,
            "changes": None if self.changed is None else asdict(self.changed),
            "float32": None if self.float32 is None else asdict(self.float32),
            "file": None if self.file is None else asdict(self.file),
        }


def slices(
    clips: Sequence[ClipComparison],
    corpus: Corpus | None,
    scoring: TextScoring | None,
    wanted: Wanted | None = None,
) -> tuple[Slice, ...]:
    """All clips first, then each property by which they differ, its worst value first.

    Args:
        clips: at least one.
        corpus: that they are from; None: nothing is known of them but what they are called.
        scoring: of the texts; None: there are none.
        wanted: None: the usual properties.

    Raises:
        InputError: a property is wanted that no clip can have.
    """
    wanted = wanted or Wanted()
    require_possible(wanted.by, corpus or ())
    known = {} if corpus is None else {each.identifier: each for each in corpus}
    counted = _counted(clips, known, scoring, wanted.rare_words)
    by_name = {each.clip: each for each in clips}

    def slice_of(by: str, value: str, names: Sequence[str]) -> Slice:
        own = [by_name[name] for name in names]
        return Slice(
            by,
            value,
            len(own),
            estimated([c.nats for c in own], [c.frames for c in own]),
            summed(counted[name].changed for name in names if name in counted),
            summed(e for name in names if name in counted and (e := counted[name].float32)),
            summed(e for name in names if name in counted and (e := counted[name].file)),
        )

    found = [slice_of("all", "", [each.clip for each in clips])]
    properties = [
        _properties(known[each.clip], each, scoring, wanted.by)
        for each in clips
        if each.clip in known
    ]
    for by in wanted.by or tuple(By(name) for name in USUAL):
        groups = groups_of(properties, (by,))
        if wanted.by or 2 <= len(groups) <= _MOST_VALUES:
            rows = [slice_of(each.by, each.value, each.clips) for each in groups]
            found += sorted(rows, key=lambda row: (-row.divergence.mean, row.value))
    return tuple(found)


def slices_by_sound(
    prepared: PreparedModel, file: Path, corpus: Corpus, wanted: Wanted, weighting: Weighting
) -> tuple[Slice, ...]:
    """All clips, altered by each of the sounds that are wanted.

    Raises:
        InputError: there is no audio to alter.
        ModelError, CorpusError: see
            :func:`~quantkit.sensitivity.model_divergence.compare_models`.
    """
    found = []
    for sound in wanted.sounds:
        heard = corpus.altered(sound)
        feeds = prepared.feeds(heard)
        compared = compare_models(prepared, file, feeds, weighting=weighting)
        scoring = feeds.task.scoring(feeds.info)
        row = slices(compared.clips, heard, scoring, replace(wanted, by=()))[0]
        found.append(replace(row, by="sound", value=str(sound)))
    return tuple(found)


@dataclass(frozen=True)
class _Counted:
    """The edits of one clip."""

    changed: TextErrors
    float32: TextErrors | None = None
    file: TextErrors | None = None


def _counted(
    clips: Sequence[ClipComparison],
    known: Mapping[str, Utterance],
    scoring: TextScoring | None,
    rare_words: frozenset[str] | None,
) -> dict[str, _Counted]:
    """By the name of the clip; only those with texts."""
    if scoring is None:
        return {}
    pairs = {each.clip: each.texts for each in clips if each.texts is not None}
    languages = {clip: known[clip].language if clip in known else "" for clip in pairs}
    before = {clip: scoring.heard(pair.before, languages[clip]) for clip, pair in pairs.items()}
    after = {clip: scoring.heard(pair.after, languages[clip]) for clip, pair in pairs.items()}
    truths = {
        clip: scoring.normalized(text, languages[clip])
        for clip in pairs
        if clip in known and (text := known[clip].text) is not None
    }
    words = not script_without_spaces([*truths.values(), *before.values()])
    rare = rare_words_of(rare_words, truths.values() or before.values(), scoring)

    def edits(reference: str, hypothesis: str) -> TextErrors:
        return text_errors(reference, hypothesis, scoring, rare.__contains__, words=words)

    return {
        clip: _Counted(
            edits(before[clip], after[clip]),
            edits(truths[clip], before[clip]) if clip in truths else None,
            edits(truths[clip], after[clip]) if clip in truths else None,
        )
        for clip in pairs
    }


def _properties(
    utterance: Utterance, clip: ClipComparison, scoring: TextScoring | None, by: Sequence[By]
) -> ClipProperties:
    text = utterance.text if clip.texts is None else utterance.text or clip.texts.before
    if text is not None and scoring is not None:
        text = scoring.normalized(text, utterance.language)
    return properties_of(utterance, text, sound=needs_sound(by))
