"""Which slices of clips a verb shows, as its caller names them."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TypeAlias

from quantkit.api.inputs import PathLike, path_of
from quantkit.audio.augmentation.alteration import parse_alteration
from quantkit.audio.corpora.files import read_lines
from quantkit.audio.utterance import Corpus
from quantkit.errors import InputError
from quantkit.slices.by import parse_by
from quantkit.slices.compared import Wanted
from quantkit.slices.properties import require_possible

#: ``"language,length:5/20"``, or several such lists.
ByNames: TypeAlias = str | Sequence[str]
#: A file of words, one or more a line; or the words; None: those that are rare in the corpus.
RareWords: TypeAlias = PathLike | Collection[str] | None
#: ``"noise:10dB,reverb"``, or several such; see :mod:`quantkit.audio.augmentation.alteration`.
Sounds: TypeAlias = str | Sequence[str]


def wanted_slices(
    by: ByNames, rare_words: RareWords, add: Sounds = (), add_seed: int = 0
) -> Wanted:
    """What the names mean.

    Raises:
        InputError: a list that is empty or says something else than names; or there are no words.
        CorpusError: the file of words cannot be read.
    """
    sounds = [add] if isinstance(add, str) else add
    return Wanted(
        parse_by(by) if by else (),
        listed_words(rare_words),
        tuple(parse_alteration(sound, add_seed) for sound in sounds if sound),
    )


def require_slices(wanted: Wanted, clips: Corpus) -> None:
    """Refuse slices that no clip can be in, before any is heard.

    Raises:
        InputError: clips are to be divided by what none of them has, or have no audio to alter.
    """
    require_possible(wanted.by, clips)
    for sound in wanted.sounds:
        clips.altered(sound)


def listed_words(rare_words: RareWords) -> frozenset[str] | None:
    """The words of a list; None without one.

    Raises:
        InputError: it holds no word.
        CorpusError: the file cannot be read.
    """
    if rare_words is None:
        return None
    where = "the list of rare words"
    if isinstance(rare_words, str | os.PathLike):
        path = path_of(rare_words, where)
        where, lines = str(path), read_lines(path)
    else:
        lines = [*rare_words]
    if found := frozenset(line.strip() for line in lines if line.strip()):
        return found
    raise InputError(f"{where} holds no word")
