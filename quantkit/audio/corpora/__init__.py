"""Corpora on disk: one module per layout, and :func:`open_corpus`, which detects the layout."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TypeGuard

from quantkit.audio.corpora.files import list_folder
from quantkit.audio.corpora.kaldi import is_kaldi, load_kaldi
from quantkit.audio.corpora.layout import Layout
from quantkit.audio.corpora.librispeech import is_librispeech, load_librispeech
from quantkit.audio.corpora.manifest import MANIFEST_NAME, load_manifest
from quantkit.audio.corpora.numpy_layout import is_numpy_layout, load_numpy
from quantkit.audio.corpora.parquet import is_parquet, load_parquet
from quantkit.audio.corpora.plain import load_plain
from quantkit.audio.corpora.speech_commands import is_speech_commands, load_speech_commands
from quantkit.audio.corpora.tables import is_table, is_tables, load_table, load_tables
from quantkit.audio.utterance import Corpus
from quantkit.errors import CorpusError, QuantkitError
from quantkit.plugins import Plugin, PluginGroup
from quantkit.printable import printable

__all__ = [
    "LAYOUTS",
    "Layout",
    "is_table",
    "layout_names",
    "load_kaldi",
    "load_librispeech",
    "load_manifest",
    "load_numpy",
    "load_parquet",
    "load_plain",
    "load_speech_commands",
    "load_tables",
    "open_corpus",
]

_LOG = logging.getLogger(__name__)

#: What quantkit itself reads, by the layout's name. A manifest decides before anything else is
#: looked at, and plain is what is left over: neither has a sign of its own.
LAYOUTS: dict[str, Layout] = {
    "manifest": Layout(load_manifest),
    "librispeech": Layout(load_librispeech, is_librispeech),
    "speech-commands": Layout(load_speech_commands, is_speech_commands),
    "numpy": Layout(load_numpy, is_numpy_layout),
    "kaldi-data": Layout(load_kaldi, is_kaldi),
    "parquet": Layout(load_parquet, is_parquet),
    "tables": Layout(load_tables, is_tables),
    "plain": Layout(load_plain),
}


def _is_layout(value: object) -> TypeGuard[Layout]:
    return isinstance(value, Layout)


PLUGINS = PluginGroup[Layout](
    "quantkit.corpora", "corpus layout", "a quantkit.audio.corpora.Layout", _is_layout, LAYOUTS
)


def layout_names() -> tuple[str, ...]:
    """Names of :data:`LAYOUTS`, then of those that installed packages add."""
    return (*LAYOUTS, *PLUGINS.names())


def open_corpus(path: str | Path, layout: str | None = None) -> Corpus:
    """Read the corpus in folder ``path``.

    >>> corpus = open_corpus("recordings")  # doctest: +SKIP
    >>> tests = corpus.select(split="test", max_seconds=20).sample(100)  # doctest: +SKIP

    A ``manifest.tsv`` takes precedence. Without one, the layout is recognised by its files. A
    folder of no known layout is read as plain audio files without text.

    Args:
        path: the folder, or a table of clips in it.
        layout: one of :func:`layout_names`, to say instead of guess.

    Raises:
        CorpusError: no such folder or layout, several layouts or several corpora in one folder, an
            error in its lists or files, or no usable clip.
    """
    path = Path(path)
    if is_table(path) and path.is_file():
        return _told(load_table(path), path, "tables")
    if not path.is_dir():
        problem = "is a file; name its folder" if path.exists() else "does not exist"
        raise CorpusError(f"{printable(path)} {problem}")
    chosen = layout or detect_layout(path)
    if chosen in LAYOUTS:
        corpus = LAYOUTS[chosen].load(path)
    elif plugin := PLUGINS.find(chosen):
        corpus = _load_by(plugin, path)
    else:
        raise CorpusError(f"unknown layout {chosen!r}; the layouts are {', '.join(layout_names())}")
    return _told(corpus, path, chosen)


def _told(corpus: Corpus, path: Path, layout: str) -> Corpus:
    _LOG.info("%s: %d clips in the layout %s", printable(path), len(corpus), layout)
    for reason in corpus.skipped:
        _LOG.info("left out: %s", reason)
    return corpus


def _load_by(plugin: Plugin[Layout], path: Path) -> Corpus:
    try:
        return plugin.value.load(path)
    except QuantkitError:
        raise
    # What the code of another package runs into is not specified.
    except Exception as error:
        raise CorpusError(
            f"{path} cannot be read as {plugin.name}, a layout of package {plugin.package}: "
            f"{type(error).__name__}: {error}"
        ) from error


def detect_layout(folder: Path) -> str:
    """Name of the layout in ``folder``, one of :func:`layout_names`.

    Layouts of other packages are tried only if none of quantkit's own matches.

    Raises:
        CorpusError: ``folder`` matches several layouts, or contains several corpora.
    """
    if (folder / MANIFEST_NAME).exists():
        return "manifest"
    nested = [p.name for p in list_folder(folder) if (p / MANIFEST_NAME).is_file()]
    if nested:
        raise CorpusError(
            f"{folder} has no {MANIFEST_NAME}, but its folders {', '.join(nested)} have; open one"
        )
    found = [name for name, layout in LAYOUTS.items() if layout.recognises(folder)]
    found = found or [plugin.name for plugin in PLUGINS.all() if _recognised(plugin, folder)]
    if len(found) > 1:
        raise CorpusError(
            f"{folder} looks like {' and '.join(found)} at once; keep each corpus in a folder of "
            f"its own, or write a {MANIFEST_NAME}"
        )
    return found[0] if found else "plain"


def _recognised(plugin: Plugin[Layout], folder: Path) -> bool:
    try:
        return plugin.value.recognises(folder)
    # What the code of another package runs into is not specified.
    except Exception as error:
        PLUGINS.report(plugin, error)
        return False
