"""Google Speech Commands (Warden 2018, arXiv:1804.03209): one folder per spoken word.

::

    testing_list.txt  validation_list.txt      optional: clips not used for training
    yes/0a7c2a8d_nohash_0.wav                  speaker 0a7c2a8d, first take
    _background_noise_/…                       long noises, not utterances: skipped
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from quantkit.audio.corpora.files import (
    clip_problem,
    is_audio,
    list_folder,
    read_lines,
)
from quantkit.audio.utterance import Corpus, Utterance, usable_corpus
from quantkit.errors import CorpusError

_BACKGROUND = "_background_noise_"
_LISTS = {"testing_list.txt": "test", "validation_list.txt": "validation"}
_TAKE = re.compile(r"(?P<speaker>[0-9a-f]+)_nohash_\d+")


def is_speech_commands(folder: Path) -> bool:
    """Whether ``folder`` has a split list beside class folders, or clips named ``*_nohash_*``."""
    if (folder / _BACKGROUND).is_dir() or any((folder / name).is_file() for name in _LISTS):
        return True
    return any(
        _TAKE.fullmatch(path.stem)
        for subfolder in _classes(folder)
        for path in filter(is_audio, list_folder(subfolder))
    )


def load_speech_commands(folder: Path) -> Corpus:
    """Every clip of every class folder; its text is the class.

    ``split`` is ``test`` or ``validation`` for listed clips, ``train`` for the others if there is a
    list, else empty. Underscores around a class name (``_silence_``) are dropped. Durations are not
    read; see :meth:`~quantkit.audio.utterance.Corpus.screened`.

    Raises:
        CorpusError: a clip in both lists or a malformed list (with the line), or no clip.
    """
    root = folder.resolve()
    splits = _splits(folder)
    default = "train" if any((folder / name).is_file() for name in _LISTS) else ""
    utterances: list[Utterance] = []
    skipped: list[str] = []
    for word_folder in _classes(folder):
        word = word_folder.name.strip("_")
        for path in filter(is_audio, list_folder(word_folder)):
            name = path.relative_to(folder).as_posix()
            problem = clip_problem(folder, root, name)
            if problem is not None:
                skipped.append(f"{path}: {problem}")
                continue
            take = _TAKE.fullmatch(path.stem)
            utterances.append(
                Utterance(
                    path=path,
                    text=word,
                    speaker=take["speaker"] if take else "",
                    language="en",
                    split=splits.get(_key(name), default),
                    name=name,
                )
            )
    return usable_corpus(str(folder), utterances, skipped)


def _classes(folder: Path) -> list[Path]:
    return [
        path
        for path in list_folder(folder)
        if path.is_dir() and path.name != _BACKGROUND and not path.name.startswith(".")
    ]


def _key(name: str) -> str:
    """A clip's path without its suffix: lists say ``.wav`` even if clips were transcoded."""
    return str(PurePosixPath(name).with_suffix(""))


def _splits(folder: Path) -> dict[str, str]:
    splits: dict[str, str] = {}
    for list_name, split in _LISTS.items():
        path = folder / list_name
        if not path.is_file():
            continue
        for number, line in enumerate(read_lines(path), start=1):
            name = line.strip()
            if not name:
                continue
            if len(PurePosixPath(name).parts) != 2:
                raise CorpusError(f"{path}, line {number}: {name!r} is not of the form class/clip")
            if splits.setdefault(_key(name), split) != split:
                raise CorpusError(f"{path}, line {number}: {name!r} is also in another split list")
    return splits
