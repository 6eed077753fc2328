"""Data folders of Kaldi (https://kaldi-asr.org/doc/data_prep.html).

::

    wav.scp      recording path          text         utterance words …
    segments     utterance recording start end        utt2spk      utterance speaker
    spk2gender   speaker m               utt2dur      utterance seconds

Commands in ``wav.scp``, which end in ``|``, are never run: their recordings are left out.
"""

from __future__ import annotations

from pathlib import Path

from quantkit.audio.corpora.columns import seconds_of, split_of
from quantkit.audio.corpora.files import list_folder, read_lines
from quantkit.audio.corpora.rows import Rows
from quantkit.audio.recording import Excerpt
from quantkit.audio.utterance import Corpus
from quantkit.disk.reading import is_there
from quantkit.errors import CorpusError
from quantkit.printable import printable

_RECORDINGS = "wav.scp"


def is_kaldi(folder: Path) -> bool:
    """Whether there is a ``wav.scp`` in ``folder``, or in a folder in it or in its ``data``."""
    return bool(_data_folders(folder))


def load_kaldi(folder: Path) -> Corpus:
    """Every utterance of every data folder; one without a line in ``text`` has no transcript.

    Paths are relative to the data folder or to ``folder``.

    Raises:
        CorpusError: a malformed line, a path that leaves the folder, or no clip.
    """
    rows = Rows(folder)
    for data in _data_folders(folder):
        _add(rows, folder, data)
    return rows.corpus()


def _add(rows: Rows, folder: Path, data: Path) -> None:
    scp = data / _RECORDINGS
    texts, speakers = _pairs(data / "text"), _pairs(data / "utt2spk")
    genders, languages = _pairs(data / "spk2gender"), _pairs(data / "utt2lang")
    durations = _pairs(data / "utt2dur")
    recordings = _pairs(scp)
    parts = _segments(data / "segments") or {name: (name, None) for name in recordings}
    split = split_of(data.name) or (data.name if data != folder else "")
    for name, (recording, part) in parts.items():
        place = recordings.get(recording, "")
        if problem := _problem(place):
            rows.skipped.append(f"{printable(name)}: {problem}")
            continue
        where = f"{printable(scp)}, {printable(recording)}"
        speaker = speakers.get(name, "")
        row = {
            "text": texts.get(name, ""),
            "speaker": speaker,
            "gender": genders.get(speaker, ""),
            "language": languages.get(name, ""),
        }
        seconds = seconds_of(part.seconds if part else durations.get(name, ""))
        base = data if is_there(data / place) else folder
        path = rows.path(where, place, base)
        rows.add_clip(where, path, rows.described(row, split), seconds, part or Excerpt())


def _problem(place: str) -> str:
    if not place:
        return "no recording in wav.scp"
    if place.endswith("|") or place.startswith("|"):
        return "its recording is the output of a command, and commands are never run"
    _, colon, offset = place.rpartition(":")
    return "lies in an archive of Kaldi" if colon and offset.isdigit() else ""


def _data_folders(folder: Path) -> list[Path]:
    if (folder / _RECORDINGS).is_file():
        return [folder]
    places = [path for path in list_folder(folder) if path.is_dir()]
    if (folder / "data").is_dir():
        places += [path for path in list_folder(folder / "data") if path.is_dir()]
    return [path for path in places if (path / _RECORDINGS).is_file()]


def _pairs(path: Path) -> dict[str, str]:
    """The first word of each line, and the rest of it."""
    if not path.is_file():
        return {}
    found = {}
    for line in read_lines(path):
        name, _, rest = line.strip().partition(" ")
        if name:
            first, _, behind = name.partition("\t")
            found[first] = f"{behind} {rest}".strip()
    return found


def _segments(path: Path) -> dict[str, tuple[str, Excerpt | None]]:
    """Recording and part of each utterance; none where there is no such list."""
    found: dict[str, tuple[str, Excerpt | None]] = {}
    if not path.is_file():
        return found
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            name, recording, start, stop = line.split()[:4]
            # A negative end means the end of the recording.
            end = float(stop) if float(stop) > 0 else float("inf")
            part = Excerpt(float(start), end)
        except ValueError:
            raise CorpusError(
                f"{printable(path)}, line {number}: expected 'utterance recording start end'"
            ) from None
        if not 0 <= part.start < part.stop:
            raise CorpusError(f"{printable(path)}, line {number}: the end is not behind the start")
        found[name] = (recording, part)
    return found
