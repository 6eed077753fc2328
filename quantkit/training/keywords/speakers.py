"""The split of a keyword corpus into training, validation and test speakers.

The recipe of a checkpoint is enough to find its held-out speakers:

>>> recipe = load_keyword_recipe(Path("models/keywords-en/recipe.toml"))      # doctest: +SKIP
>>> test = open_part(recipe.sources[0], Path("speech_commands"), "test")      # doctest: +SKIP
>>> ann = test.select(speaker="0c540988")                                     # doctest: +SKIP
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import CorpusError
from quantkit.training.mixture import Part, held_out_part
from quantkit.training.recipe import Source

# Speech Commands' unknown words have the word before the speaker: `backward_0c540988`.
_PERSON = re.compile(r"(?:[a-z]+_)?(?P<person>[0-9a-f]{8})")
_NOBODY = frozenset({"", "none"})


def person_of(speaker: str) -> str:
    """The person of a speaker name in Speech Commands; empty for clips without speech.

    One person has several names there, and could otherwise be in both training and test.

    >>> person_of("backward_0c540988"), person_of("0c540988"), person_of("none")
    ('0c540988', '0c540988', '')
    """
    if speaker in _NOBODY:
        return ""
    match = _PERSON.fullmatch(speaker)
    return match["person"] if match else speaker


def split_of(utterance: Utterance, source: Source, folder: Path) -> Part:
    """Whether a clip is for training, validation or test.

    All clips of one person are in one part, chosen by
    :func:`~quantkit.training.mixture.held_out_part`; clips without a speaker are split one by one.

    Args:
        folder: folder of the corpus; it does not affect the result.
    """
    person = person_of(utterance.speaker)
    if not person:
        source = replace(source, holdout="utterance")
    return held_out_part(replace(utterance, speaker=person), source, folder)


def open_part(source: Source, folder: Path, part: Part) -> Corpus:
    """The clips of one source that belong to ``part``: texts are classes, speakers persons.

    Raises:
        CorpusError: no folder, a clip without a class, or nothing left.
    """
    corpus = open_corpus(folder)
    if source.split:
        corpus = corpus.select(split=source.split)
    chosen: list[Utterance] = []
    for utterance in corpus:
        if not utterance.text:
            raise CorpusError(f"{folder}: {utterance.identifier} has no class to train on")
        if utterance.text in source.drop or split_of(utterance, source, folder) != part:
            continue
        text = source.rename.get(utterance.text, utterance.text)
        chosen.append(replace(utterance, text=text, speaker=person_of(utterance.speaker)))
    if not chosen:
        raise CorpusError(f"{folder}: no utterance is left for {part}")
    return Corpus(source.name, tuple(chosen), corpus.skipped)
