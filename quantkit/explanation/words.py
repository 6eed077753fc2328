"""Which words a quantized model changes, and when they were said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import Levenshtein

from quantkit.text.changes import TextPair
from quantkit.text.words import Word


@dataclass(frozen=True)
class WordChange:
    """Words that differ, next to one another.

    Args:
        before, after: of the float and of the quantized model; empty where a word is missing.
        start, end: seconds in the clip, of the float model's words; None where unknown.
    """

    before: str
    after: str
    start: float | None = None
    end: float | None = None


def word_changes(texts: TextPair, words: Sequence[Word] = ()) -> tuple[WordChange, ...]:
    """The words of a shortest alignment that differ.

    Args:
        words: of the float model's text, with times; ignored where they are not those of the text.

    >>> word_changes(TextPair("clip", "the cat sat", "the cat has sat"))
    (WordChange(before='', after='has', start=None, end=None),)
    """
    before, after = texts.before.split(), texts.after.split()
    timed = list(words) if [word.text for word in words] == before else []
    found = []
    for kind, i0, i1, j0, j1 in Levenshtein.opcodes(before, after):
        if kind == "equal":
            continue
        start, end = _times(timed, i0, i1)
        found.append(WordChange(" ".join(before[i0:i1]), " ".join(after[j0:j1]), start, end))
    return tuple(found)


def _times(words: Sequence[Word], first: int, last: int) -> tuple[float | None, float | None]:
    """Of some words; of none, those of the gap that others leave."""
    if not words:
        return None, None
    if last > first:
        return words[first].start, words[last - 1].end
    before = words[first - 1].end if first else 0.0
    after = words[first].start if first < len(words) else words[-1].end
    return before, max(before, after)


@dataclass(frozen=True)
class ClipChange:
    """What a quantized model does to one clip.

    Args:
        clip: its name.
        divergence: in nats per frame, token or clip.
        texts: of both models; None where the task has none.
        words: that differ.
    """

    clip: str
    divergence: float
    texts: TextPair | None = None
    words: tuple[WordChange, ...] = ()

    def to_json(self) -> Mapping[str, object]:
        """For programs."""
        return {
            "clip": self.clip,
            "divergence": self.divergence,
            "float32": None if self.texts is None else self.texts.before,
            "file": None if self.texts is None else self.texts.after,
            "words": [
                {"float32": w.before, "file": w.after, "start": w.start, "end": w.end}
                for w in self.words
            ],
        }
