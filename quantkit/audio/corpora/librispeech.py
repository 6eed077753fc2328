"""LibriSpeech (Panayotov et al., ICASSP 2015) and corpora of the same layout.

::

    [LibriSpeech/]SPEAKERS.TXT              optional: genders
    [LibriSpeech/]dev-clean/84/121123/84-121123.trans.txt
                                      84-121123-0000.flac

A line of a ``.trans.txt`` is an utterance's name, a space, and its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from quantkit.audio.corpora.files import (
    contained_path,
    file_problem,
    is_audio,
    list_folder,
    read_lines,
    walk_files,
)
from quantkit.audio.utterance import Corpus, Utterance, usable_corpus
from quantkit.errors import CorpusError

TRANSCRIPT_SUFFIX = ".trans.txt"

_UTTERANCE_NAME = re.compile(r"(?P<speaker>\w+)-(?P<chapter>\w+)-\w+")
# LibriSpeech / subset / speaker / chapter: transcripts below that are not part of the layout.
_DEEPEST = 3


def is_librispeech(folder: Path) -> bool:
    """Whether there is a ``.trans.txt`` in ``folder`` or at most three levels below it."""
    return next(_transcript_files(folder), None) is not None


def load_librispeech(folder: Path) -> Corpus:
    """Read the whole corpus, one of its subsets, or one speaker.

    ``split`` is the subset's folder name, text is lower-cased, and gender comes from the
    ``SPEAKERS.TXT`` in ``folder`` or up to two levels above it. Durations are not read; see
    :meth:`~quantkit.audio.utterance.Corpus.screened`. Clips without a file, and files without a
    line of text, are skipped and listed in ``Corpus.skipped``.

    Raises:
        CorpusError: a malformed or repeated line (with its number), not UTF-8, or no clip.
    """
    tree = _Tree(folder, folder.resolve(), _genders(folder))
    for transcript in _transcript_files(folder):
        tree.read_chapter(transcript)
    return usable_corpus(str(folder), tree.utterances, tree.skipped)


@dataclass
class _Tree:
    """One walk over a corpus."""

    folder: Path
    root: Path
    genders: dict[str, str]
    utterances: list[Utterance] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def read_chapter(self, transcript: Path) -> None:
        chapter = transcript.parent
        split = self._split_of(chapter)
        recordings = {path.stem: path for path in filter(is_audio, list_folder(chapter))}
        line_of: dict[str, int] = {}
        for number, line in enumerate(read_lines(transcript), start=1):
            if not line.strip():
                continue
            where = f"{transcript}, line {number}"
            name, _, text = line.strip().partition(" ")
            match = _UTTERANCE_NAME.fullmatch(name)
            if match is None or not text.strip():
                raise CorpusError(f"{where}: expected SPEAKER-CHAPTER-NUMBER and its text")
            if name in line_of:
                raise CorpusError(f"{where}: {name} is already named in line {line_of[name]}")
            line_of[name] = number
            recording = recordings.get(name)
            if recording is None:
                self.skipped.append(f"{chapter / name}: no such file")
                continue
            relative = recording.relative_to(self.folder).as_posix()
            problem = file_problem(contained_path(self.folder, self.root, relative, where))
            if problem is not None:
                self.skipped.append(f"{recording}: {problem}")
                continue
            speaker = match["speaker"]
            self.utterances.append(
                Utterance(
                    path=recording,
                    text=" ".join(text.lower().split()),
                    speaker=speaker,
                    gender=self.genders.get(speaker, ""),
                    language="en",
                    split=split,
                    name=relative,
                )
            )
        self.skipped += [
            f"{path}: has no line in {transcript.name}"
            for name, path in recordings.items()
            if name not in line_of
        ]

    def _split_of(self, chapter: Path) -> str:
        """Folder name two levels above a chapter; the corpus folder itself may be that level."""
        above = (self.root / chapter.relative_to(self.folder)).parents
        return above[1].name if len(above) > 1 else ""


def _transcript_files(folder: Path) -> Iterator[Path]:
    for path in walk_files(folder, _DEEPEST):
        if path.name.endswith(TRANSCRIPT_SUFFIX):
            yield path


def _genders(folder: Path) -> dict[str, str]:
    """Gender by speaker: lines ``14 | F | train-clean-360 | 25.03 | name``, ``;`` a comment."""
    for parent in (folder, *folder.resolve().parents[:2]):
        table = parent / "SPEAKERS.TXT"
        if not table.is_file():
            continue
        genders = {}
        for number, line in enumerate(read_lines(table), start=1):
            if not line.strip() or line.startswith(";"):
                continue
            fields = [value.strip() for value in line.split("|")]
            if len(fields) < 2 or fields[1].lower() not in ("m", "f"):
                raise CorpusError(f"{table}, line {number}: expected 'speaker | M or F | …'")
            genders[fields[0]] = fields[1].lower()
        return genders
    return {}
