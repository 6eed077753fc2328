"""The clips of a training run by stage, and the held-out ones."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import CorpusError
from quantkit.text.labels import Labels
from quantkit.training.recipe import Source, Stage

Part = Literal["train", "valid", "test"]

# A training clip is one utterance, or several of one source that are joined.
Clip = tuple[Utterance, ...]

# First words of the names of evaluation splits: `test`, `dev-clean`, ….
_NOT_FOR_TRAINING = frozenset({"test", "dev", "val", "valid", "validation", "eval", "calibration"})


def held_out_part(utterance: Utterance, source: Source, root: Path | None = None) -> Part:
    """Whether an utterance is for training, validation or test.

    The choice depends on a hash of the speaker or of the clip's path below ``root`` only, so it
    is the same on every machine and does not change when clips are added.
    """
    if source.holdout == "speaker":
        key = utterance.speaker
    elif utterance.path is not None and root is not None:
        key = utterance.path.relative_to(root).as_posix()
    else:
        key = utterance.identifier
    digest = hashlib.sha256(f"{source.name}/{key}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < source.test_share:
        return "test"
    return "valid" if position < source.test_share + source.valid_share else "train"


def open_source(source: Source, folder: Path, labels: Labels, part: Part) -> Corpus:
    """The utterances of one source that belong to ``part``, with normalised transcripts.

    If the source names no split, evaluation splits are left out.

    Raises:
        CorpusError: no folder, no transcripts, or nothing left.
    """
    corpus = open_corpus(folder)
    split = source.valid_split if part == "valid" and source.valid_split else source.split
    corpus = corpus.select(split=split) if split else _for_training(corpus, source, folder)
    chosen: list[Utterance] = []
    skipped = list(corpus.skipped)
    for utterance in corpus:
        if utterance.text is None:
            raise CorpusError(f"{folder}: {utterance.identifier} has no transcript to train on")
        if utterance.text in source.drop:
            continue
        if not (part == "valid" and source.valid_split) and (
            held_out_part(utterance, source, folder) != part
        ):
            continue
        text = source.rename.get(utterance.text, utterance.text)
        if not labels.covers(text):
            text = text.lower()
        if not labels.covers(text):
            skipped.append(f"{utterance.identifier}: text has characters outside the labels")
            continue
        chosen.append(replace(utterance, text=text))
    if not chosen:
        raise CorpusError(f"{folder}: no utterance is left for {part}")
    return Corpus(source.name, tuple(chosen), tuple(skipped))


def _for_training(corpus: Corpus, source: Source, folder: Path) -> Corpus:
    if "train" in corpus.values("split"):
        return corpus.select(split="train")
    chosen = tuple(
        u
        for u in corpus
        if not u.split
        or (u.split != source.valid_split and _first_word(u.split) not in _NOT_FOR_TRAINING)
    )
    if not chosen:
        raise CorpusError(
            f"{folder} has no clips to train on: all are of the splits "
            f"{', '.join(corpus.values('split'))}; name one as `split` in the recipe to use it"
        )
    return replace(corpus, utterances=chosen)


def _first_word(split: str) -> str:
    return re.split(r"[^a-z]", split.lower(), maxsplit=1)[0]


@dataclass(frozen=True)
class Mixture:
    """The training utterances of every source."""

    sources: tuple[Source, ...]
    corpora: Mapping[str, Corpus]

    def epoch(self, stage: Stage, rng: random.Random) -> list[Clip]:
        """The clips of one epoch of ``stage``, in random order."""
        clips: list[Clip] = []
        for source in self.sources:
            repeats = stage.repeats.get(source.name, 0.0)
            usable = [u for u in self.corpora[source.name] if u.seconds <= stage.max_seconds]
            chosen = usable * int(repeats)
            chosen += rng.sample(usable, round((repeats - int(repeats)) * len(usable)))
            rng.shuffle(chosen)
            clips.extend(joined(chosen, source, stage.max_seconds, rng))
        if not clips:
            raise CorpusError(f"no training clip is shorter than {stage.max_seconds} s")
        rng.shuffle(clips)
        return clips


def joined(
    utterances: Sequence[Utterance], source: Source, max_seconds: float, rng: random.Random
) -> list[Clip]:
    """Clips of up to ``source.join`` utterances each, in the given order."""
    if source.join_speakers:
        return _join(utterances, source.join, max_seconds, rng)
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        by_speaker.setdefault(utterance.speaker, []).append(utterance)
    return [
        clip
        for spoken in by_speaker.values()
        for clip in _join(spoken, source.join, max_seconds, rng)
    ]


def _join(
    utterances: Sequence[Utterance], most: int, max_seconds: float, rng: random.Random
) -> list[Clip]:
    clips: list[Clip] = []
    pending: list[Utterance] = []
    wanted = rng.randint(1, most)
    for utterance in utterances:
        too_long = sum(u.seconds for u in pending) + utterance.seconds > max_seconds
        if pending and (len(pending) >= wanted or too_long):
            clips.append(tuple(pending))
            pending = []
            wanted = rng.randint(1, most)
        pending.append(utterance)
    if pending:
        clips.append(tuple(pending))
    return clips


def seconds_of(clip: Clip) -> float:
    """Duration of a clip: the sum of those of its utterances."""
    return sum(u.seconds for u in clip)


def joined_text(clip: Clip) -> str:
    """Transcript of a clip: the non-empty texts of its utterances, joined by spaces."""
    return " ".join(u.text for u in clip if u.text)
