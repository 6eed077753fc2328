"""Corpora on disk: one module per layout, and :func:`open_corpus`, which finds out which it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quantkit.audio.corpora.files import list_folder
from quantkit.audio.corpora.librispeech import is_librispeech, load_librispeech
from quantkit.audio.corpora.manifest import MANIFEST_NAME, load_manifest
from quantkit.audio.corpora.numpy_layout import is_numpy_layout, load_numpy
from quantkit.audio.corpora.plain import load_plain
from quantkit.audio.corpora.speech_commands import is_speech_commands, load_speech_commands
from quantkit.audio.utterance import Corpus
from quantkit.errors import CorpusError

__all__ = [
    "LAYOUTS",
    "load_librispeech",
    "load_manifest",
    "load_numpy",
    "load_plain",
    "load_speech_commands",
    "open_corpus",
]

#: Loader by the layout's name.
LAYOUTS: dict[str, Callable[[Path], Corpus]] = {
    "manifest": load_manifest,
    "librispeech": load_librispeech,
    "speech-commands": load_speech_commands,
    "numpy": load_numpy,
    "plain": load_plain,
}

_DETECTORS: dict[str, Callable[[Path], bool]] = {
    "librispeech": is_librispeech,
    "speech-commands": is_speech_commands,
    "numpy": is_numpy_layout,
}


def open_corpus(path: Path, layout: str | None = None) -> Corpus:
    """Read the corpus in folder ``path``.

    >>> corpus = open_corpus(Path("recordings"))                      # doctest: +SKIP
    >>> tests = corpus.select(split="test", max_seconds=20).sample(100)  # doctest: +SKIP

    A ``manifest.tsv`` decides; without one the layout is recognised by its files, and what is
    none of them is a plain folder of audio without text.

    Args:
        path: the folder.
        layout: one of :data:`LAYOUTS`, to say instead of guess.

    Raises:
        CorpusError: no such folder or layout, several layouts or several corpora in one folder,
            whatever the loader finds wrong, or no usable clip.
    """
    if not path.is_dir():
        problem = "is a file; name its folder" if path.exists() else "does not exist"
        raise CorpusError(f"{path} {problem}")
    chosen = layout or detect_layout(path)
    if chosen not in LAYOUTS:
        raise CorpusError(f"unknown layout {chosen!r}; the layouts are {', '.join(LAYOUTS)}")
    return LAYOUTS[chosen](path)


def detect_layout(folder: Path) -> str:
    """Name of the layout in ``folder``, a key of :data:`LAYOUTS`.

    Raises:
        CorpusError: there are signs of several layouts, or of several corpora below ``folder``.
    """
    if (folder / MANIFEST_NAME).exists():
        return "manifest"
    nested = [p.name for p in list_folder(folder) if (p / MANIFEST_NAME).is_file()]
    if nested:
        raise CorpusError(
            f"{folder} has no {MANIFEST_NAME}, but its folders {', '.join(nested)} have; open one"
        )
    found = [name for name, matches in _DETECTORS.items() if matches(folder)]
    if len(found) > 1:
        raise CorpusError(
            f"{folder} looks like {' and '.join(found)} at once; keep each corpus in a folder of "
            f"its own, or write a {MANIFEST_NAME}"
        )
    return found[0] if found else "plain"
