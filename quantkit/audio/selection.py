"""Which utterances of a corpus a verb takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from quantkit.audio.utterance import Corpus
from quantkit.errors import InputError

#: One name, or several of which each will do.
Names: TypeAlias = str | Sequence[str]

_CODE = re.compile("[a-z]{2,3}")
_GENDERS = {"f", "m"}


@dataclass(frozen=True)
class Selection:
    """Which utterances to select; empty conditions are ignored.

    >>> Selection(split="all", gender="f", clips=10).clips
    10

    Args:
        split: of the corpus, one or several, or ``all``. Empty: the one that the verb is for, where
            the corpus has it: ``calibration``, or ``test`` to measure.
        speaker: only clips of this speaker, or of one of several.
        gender: ``f`` or ``m``.
        language: a code such as ``en``, or several. Where no clip says its language, all are in
            this one.
        max_seconds: only shorter clips.
        clips: at most so many, drawn with a fixed seed. None: the verb's usual number.

    Raises:
        InputError: a value that no corpus can have.
    """

    split: Names = ()
    speaker: Names = ()
    gender: Names = ()
    language: Names = ()
    max_seconds: float | None = None
    clips: int | None = None

    def __post_init__(self) -> None:
        if unknown := set(_names(self.gender)) - _GENDERS:
            raise InputError(f"gender is f or m, not {min(unknown)!r}")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise InputError(f"max_seconds must be above 0, not {self.max_seconds:g}")
        if self.clips is not None and not (isinstance(self.clips, int) and self.clips >= 1):
            raise InputError(f"cannot take {self.clips!r} clips; give a whole number from 1 on")

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the requested splits; empty if there are none."""
        return _names(self.split)

    @property
    def only_language(self) -> str:
        """The language that all clips are in; empty where that is not said, or several are."""
        languages = _names(self.language)
        return languages[0] if len(languages) == 1 else ""

    @property
    def filters(self) -> tuple[str, ...]:
        """What :meth:`filtered` keeps, in words, for reports.

        >>> Selection(speaker=("ann", "bob"), gender="f", max_seconds=4).filters
        ('speaker ann or bob', 'gender f', 'clips of at most 4 s')
        """
        named = (
            ("speaker", self.speaker),
            ("gender", self.gender),
            ("language", self.language),
        )
        found = [f"{name} {' or '.join(_names(values))}" for name, values in named if values]
        if self.max_seconds is not None:
            found.append(f"clips of at most {self.max_seconds:g} s")
        return tuple(found)

    def filtered(self, corpus: Corpus) -> Corpus:
        """The utterances of ``corpus`` that match, of all splits.

        Raises:
            CorpusError: nothing matches.
            InputError: all clips shall be in a language that is no code of one, or in several.
        """
        languages = _names(self.language)
        if languages and not corpus.values("language"):
            if len(languages) > 1:
                raise InputError(f"no clip of {corpus.name} says its language; name one only")
            if not _CODE.fullmatch(languages[0]):
                raise InputError(
                    f"a language is named by a code such as en or de, not {languages[0]!r}"
                )
            corpus = corpus.spoken_in(languages[0])
        if not (self.speaker or self.gender or languages or self.max_seconds):
            return corpus
        return corpus.select(
            speaker=_names(self.speaker) or None,
            gender=_names(self.gender) or None,
            language=languages or None,
            max_seconds=float("inf") if self.max_seconds is None else self.max_seconds,
        )

    def drawn(self, corpus: Corpus, *, split: str, clips: int) -> Corpus:
        """What a verb takes of a corpus that was :meth:`filtered`.

        Args:
            split: that the verb is for.
            clips: its usual number.

        Raises:
            CorpusError: the corpus has no split of the name that was given.
        """
        return corpus.part(self.splits, usually=split).sample(self.clips or clips)


def _names(names: Names | None) -> tuple[str, ...]:
    if not names:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)
