"""What is different in the texts of one model from those of another, without transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quantkit.text.distances import error_counts, ratio_interval
from quantkit.text.scoring import TextScoring

#: Texts below which the interval is too uncertain to be given.
FEWEST_TEXTS = 8
_EXAMPLES = 3
# Characters per word above which spaces do not divide words, as in Thai or Chinese.
_LONGEST_WORDS = 12


@dataclass(frozen=True)
class TextPair:
    """The texts of both models for one clip.

    Args:
        clip: its name.
        before, after: of the model that is compared with, and of the other.
    """

    clip: str
    before: str
    after: str


@dataclass(frozen=True)
class Changed:
    """How many units differ.

    Args:
        unit: what is counted, in the plural: words, characters, labels or clips.
        changed: edits that turn the texts of one model into those of the other.
        total: units in the texts of the model that is compared with.
        interval: of the share on other audio of this kind, 95 %; None on few clips, and where
            nothing differs.
    """

    unit: str
    changed: int
    total: int
    interval: tuple[float, float] | None = None

    @property
    def share(self) -> float:
        """Of all units; above 1 where much was added."""
        return self.changed / self.total if self.total else float(bool(self.changed))

    @property
    def in_words(self) -> str:
        """``16.5 % of words changed [12.1, 20.9]``; ``none of 170 words changed``."""
        if not self.changed:
            return f"none of {self.total:,} {self.unit} changed"
        if not self.total:
            return f"{self.changed:,} {self.unit} where float32 has none"
        text = f"{100 * self.share:.1f} % of {self.unit} changed"
        if self.interval is None:
            return f"{text} ({self.changed:,} of {self.total:,})"
        low, high = (100 * end for end in self.interval)
        return f"{text} [{low:.1f}, {high:.1f}]"

    def to_json(self) -> dict[str, Any]:
        """With the share."""
        return {
            "unit": self.unit,
            "share": self.share,
            "interval": self.interval,
            "changed": self.changed,
            "of": self.total,
        }


@dataclass(frozen=True)
class TextChanges:
    """What is different, counted in one unit or several, the most telling first.

    Args:
        counts: words where there are some, then characters or labels; of keywords, clips.
        clips: how many were compared.
        examples: some clips whose text differs, from the one that differs most to the one that
            differs least.
        silent: clips for which the model that is compared with writes nothing.
    """

    counts: tuple[Changed, ...]
    clips: int
    examples: tuple[TextPair, ...] = ()
    silent: tuple[str, ...] = ()

    @property
    def in_words(self) -> str:
        """All counts, the most telling first."""
        return ", ".join(each.in_words for each in self.counts)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "counts": [each.to_json() for each in self.counts],
            "clips": self.clips,
            "examples": [
                {"clip": each.clip, "float32": each.before, "file": each.after}
                for each in self.examples
            ],
            "silent": list(self.silent),
        }


def text_changes(
    pairs: Sequence[TextPair], scoring: TextScoring, silent: Sequence[str] = ()
) -> TextChanges:
    """Compare the texts of two models clip by clip.

    Intervals resample the clips; see :func:`~quantkit.text.distances.ratio_interval`.

    Args:
        pairs: at least one.
        scoring: says what units and words are.
        silent: see :class:`TextChanges`.
    """
    heard = [TextPair(p.clip, scoring.heard(p.before), scoring.heard(p.after)) for p in pairs]
    units = [(scoring.units(p.before), scoring.units(p.after)) for p in heard]
    if scoring.unit.one_per_clip:
        counts = [_changed("clips", units)]
    else:
        counts = [_changed(scoring.unit.name, units)]
        words = _changed("words", [(p.before.split(), p.after.split()) for p in heard])
        if scoring.has_words and counts[0].total <= _LONGEST_WORDS * words.total:
            counts.insert(0, words)
    return TextChanges(tuple(counts), len(pairs), _examples(pairs, units), tuple(silent))


def excerpt(before: str, after: str, context: int = 24, longest: int = 72) -> tuple[str, str]:
    """The part of two texts around their first difference, quoted.

    >>> excerpt("the cat sat on the mat and slept", "the cat sat on a mat and slept", 7, 16)
    ('"…sat on the mat a…"', '"…sat on a mat and…"')

    Args:
        context: characters in front of the difference.
        longest: characters of each part.
    """
    pairs = enumerate(zip(before, after, strict=False))
    first = next((i for i, (a, b) in pairs if a != b), min(len(before), len(after)))
    start = max(0, first - context)
    return _part(before, start, longest), _part(after, start, longest)


def _part(text: str, start: int, longest: int) -> str:
    end = start + longest
    front, back = "…" * (start > 0), "…" * (end < len(text))
    return f'"{front}{text[start:end]}{back}"'


def _changed(unit: str, texts: Sequence[tuple[Sequence[str], Sequence[str]]]) -> Changed:
    counts = [error_counts(before, after) for before, after in texts]
    edits, lengths = [c.errors for c in counts], [c.reference_length for c in counts]
    changed, total = sum(edits), sum(lengths)
    interval = None
    if len(texts) >= FEWEST_TEXTS and changed and total:
        interval = ratio_interval(edits, lengths)
    return Changed(unit, changed, total, interval)


def _examples(
    pairs: Sequence[TextPair], units: Sequence[tuple[Sequence[str], Sequence[str]]]
) -> tuple[TextPair, ...]:
    shares = []
    for position, (before, after) in enumerate(units):
        if edits := error_counts(before, after).errors:
            shares.append((edits / max(1, len(before)), position))
    # The first in the order of the clips among equals.
    order = [position for _, position in sorted(shares, key=lambda each: (-each[0], each[1]))]
    wanted = min(_EXAMPLES, len(order))
    places = [round(i * (len(order) - 1) / max(1, wanted - 1)) for i in range(wanted)]
    chosen = (pairs[order[place]] for place in places)
    return tuple(TextPair(p.clip, p.before.strip(), p.after.strip()) for p in chosen)
