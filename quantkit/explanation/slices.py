"""For whom a quantized model is worse: clips by speaker, gender, language and length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.sensitivity.estimate import Estimate, estimated
from quantkit.sensitivity.model_divergence import ClipComparison
from quantkit.text.changes import TextPair, text_changes
from quantkit.text.distances import error_counts
from quantkit.text.scoring import TextScoring

# Clips below which thirds by length say nothing.
_FEWEST_CLIPS = 6
# Speakers above which a table of them is of no use.
_MOST_VALUES = 40


@dataclass(frozen=True)
class Errors:
    """Word errors against transcripts, or character errors where spaces divide no words.

    Args:
        unit: ``words`` or what else is counted.
        float32, file: errors of both models.
        total: units of the transcripts.
    """

    unit: str
    float32: int
    file: int
    total: int


@dataclass(frozen=True)
class Slice:
    """Some of the clips.

    Args:
        by: ``speaker``, ``gender``, ``language`` or ``length``; ``all`` for all clips.
        value: that they share.
        clips: how many.
        divergence: in nats per frame, token or clip.
        changed: share of words, or of what else texts are counted in; None without texts.
        errors: where clips have transcripts.
    """

    by: str
    value: str
    clips: int
    divergence: Estimate
    changed: float | None = None
    errors: Errors | None = None

    def to_json(self) -> Mapping[str, object]:
        """For programs."""
        return {
            "by": self.by,
            "value": self.value,
            "clips": self.clips,
            "divergence": self.divergence.mean,
            "interval": self.divergence.interval,
            "changed": self.changed,
            "errors": None
            if self.errors is None
            else {
                "unit": self.errors.unit,
                "float32": self.errors.float32,
                "file": self.errors.file,
                "total": self.errors.total,
            },
        }


def slices(
    clips: Sequence[ClipComparison], corpus: Corpus | None, scoring: TextScoring | None
) -> tuple[Slice, ...]:
    """All clips first, then each property by which they differ, its worst value first.

    Args:
        clips: at least one.
        corpus: that they are from; None: nothing is known of them but what they are called.
        scoring: of the texts; None: there are none.
    """
    known = {} if corpus is None else {each.identifier: each for each in corpus}
    found = [_slice("all", "", clips, known, scoring)]
    for by, value_of in _properties([known[c.clip] for c in clips if c.clip in known]).items():
        groups: dict[str, list[ClipComparison]] = {}
        for clip in clips:
            if clip.clip in known and (value := value_of(known[clip.clip])):
                groups.setdefault(value, []).append(clip)
        if 2 <= len(groups) <= _MOST_VALUES:
            rows = [_slice(by, value, own, known, scoring) for value, own in groups.items()]
            found += sorted(rows, key=lambda row: (-row.divergence.mean, row.value))
    return tuple(found)


def _properties(
    utterances: Sequence[Utterance],
) -> dict[str, Callable[[Utterance], str]]:
    found: dict[str, Callable[[Utterance], str]] = {
        "language": lambda each: each.language,
        "gender": lambda each: each.gender,
        "speaker": lambda each: each.speaker,
    }
    lengths = sorted(each.seconds for each in utterances if each.seconds)
    if len(lengths) >= _FEWEST_CLIPS and lengths[0] < lengths[-1]:
        short, long = lengths[len(lengths) // 3], lengths[2 * len(lengths) // 3]

        def length(each: Utterance) -> str:
            if not each.seconds:
                return ""
            if each.seconds < short:
                return f"below {short:.1f} s"
            return f"{short:.1f} to {long:.1f} s" if each.seconds < long else f"from {long:.1f} s"

        found["length"] = length
    return found


def _slice(
    by: str,
    value: str,
    clips: Sequence[ClipComparison],
    known: Mapping[str, Utterance],
    scoring: TextScoring | None,
) -> Slice:
    pairs = [each.texts for each in clips if each.texts is not None]
    changed, errors = None, None
    if scoring is not None and pairs:
        changed = text_changes(pairs, scoring).counts[0].share
        errors = _errors(pairs, known, scoring)
    divergence = estimated([c.nats for c in clips], [c.frames for c in clips])
    return Slice(by, value, len(clips), divergence, changed, errors)


def _errors(
    pairs: Sequence[TextPair], known: Mapping[str, Utterance], scoring: TextScoring
) -> Errors | None:
    counted, totals = [0, 0], 0
    with_words = scoring.has_words
    for pair in pairs:
        clip = known.get(pair.clip)
        if clip is None or clip.text is None:
            continue
        truth = _units(scoring.normalized(clip.text, clip.language), scoring)
        totals += len(truth)
        for place, text in enumerate((pair.before, pair.after)):
            heard = _units(scoring.heard(text, clip.language), scoring)
            counted[place] += error_counts(truth, heard).errors
    unit = "words" if with_words else scoring.unit.name
    return Errors(unit, counted[0], counted[1], totals) if totals else None


def _units(text: str, scoring: TextScoring) -> list[str]:
    return text.split() if scoring.has_words else scoring.units(text)
