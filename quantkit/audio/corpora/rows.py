"""Rows of any list of clips → utterances."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from quantkit.audio.corpora.columns import NAMES, gender_of, seconds_of
from quantkit.audio.corpora.files import contained_path, file_problem
from quantkit.audio.decode import MAX_SECONDS
from quantkit.audio.recording import WHOLE, Excerpt
from quantkit.audio.utterance import Corpus, Utterance, usable_corpus
from quantkit.disk.reading import is_there
from quantkit.printable import printable

# Where tables say `a.wav` and mean `clips/a.wav`.
_AUDIO_FOLDERS = ("", "clips", "wavs", "wav", "audio")


@dataclass
class Rows:
    """The clips of lists that other programs wrote.

    What a row says wrongly of a clip is taken for unknown, and a clip that is not there is left
    out; a path that leaves the folder ends the reading.

    Args:
        folder: that all clips are in.
        max_seconds: longer clips are left out.
    """

    folder: Path
    max_seconds: float = MAX_SECONDS
    utterances: list[Utterance] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    _lines: dict[tuple[str, Excerpt], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._root = self.folder.resolve()

    def add(self, where: str, row: Mapping[str, str], base: Path, *, split: str = "") -> None:
        """Take in one row.

        Args:
            where: file and line, for messages.
            row: values by the names of :data:`~quantkit.audio.corpora.columns.NAMES`.
            base: folder that paths start from.
            split: where the row names none.

        Raises:
            CorpusError: an empty path, or one that leaves the folder.
        """
        path = self.path(where, row.get("path", "").strip(), base)
        seconds = seconds_of(row.get("seconds", ""))
        part = WHOLE
        if row.get("offset", "").strip() and seconds:
            start = seconds_of(row["offset"])
            part = Excerpt(start, start + seconds)
        self.add_clip(where, path, self.described(row, split), seconds, part)

    def add_clip(
        self, where: str, path: Path, described: Utterance, seconds: float, part: Excerpt = WHOLE
    ) -> None:
        """Take in a clip whose path was checked.

        Args:
            described: who says what.
            seconds: 0 where they are not known.
        """
        problem = file_problem(path)
        if problem is None and seconds > self.max_seconds:
            problem = f"lasts {seconds:.0f} s; the limit is {self.max_seconds:g} s"
        key = (path.as_posix(), part)
        if problem is None and key in self._lines:
            problem = f"is named in {where} and in {self._lines[key]}"
        if problem is not None:
            self.skipped.append(f"{printable(path)}: {problem}")
            return
        self._lines[key] = where
        name = printable(path.relative_to(self.folder).as_posix())
        if part != WHOLE:
            name += f"[{part.start:g}-{part.stop:g} s]"
        self.utterances.append(
            replace(described, path=path, seconds=seconds, name=name, excerpt=part)
        )

    @staticmethod
    def described(row: Mapping[str, str], split: str = "") -> Utterance:
        """An utterance without audio."""
        return Utterance(
            None,
            # Accented letters must compare equal, whether an editor wrote them composed or
            # decomposed.
            text=unicodedata.normalize("NFC", row.get("text", "").strip()) or None,
            speaker=row.get("speaker", "").strip(),
            gender=gender_of(row.get("gender", "")),
            language=row.get("language", "").strip(),
            split=row.get("split", "").strip() or split,
            columns={name: value for name, value in row.items() if name not in NAMES},
        )

    def corpus(self) -> Corpus:
        """All that was taken in.

        Raises:
            CorpusError: there is no clip.
        """
        return usable_corpus(printable(self.folder), self.utterances, self.skipped)

    def path(self, where: str, name: str, base: Path) -> Path:
        """Where the clip called ``name`` is; the plainest place where it is in none.

        Raises:
            CorpusError: an empty path, or one that leaves the folder.
        """
        inside = base.relative_to(self.folder)
        places: Sequence[str] = _AUDIO_FOLDERS
        absolute = Path(name)
        if absolute.is_absolute():
            # Programs write where the clips were on the machine that made the list.
            for root in (self._root, self.folder.absolute()):
                if absolute.is_relative_to(root):
                    name, inside, places = str(absolute.relative_to(root)), Path(), ("",)
                    break
        paths = []
        for folder in places:
            inner = (inside / folder / name).as_posix() if name else ""
            paths.append(contained_path(self.folder, self._root, inner or name, where))
            if is_there(paths[-1]):
                return paths[-1]
        # The first releases of Common Voice have the clips' names without their endings.
        bare = [] if paths[0].suffix else [path.with_name(f"{path.name}.mp3") for path in paths]
        return next((path for path in bare if is_there(path)), paths[0])
