"""What a layout of corpora is: how its folders are recognised, and how they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quantkit.audio.utterance import Corpus


def _never(folder: Path) -> bool:
    return False


@dataclass(frozen=True)
class Layout:
    """One way to lay out a corpus in a folder.

    Args:
        load: reads a folder; raises :class:`~quantkit.errors.CorpusError` where it cannot.
        recognises: whether a folder is of this layout, by the names in it. It is called for every
            folder without a manifest, so it must not read audio. By default never: the layout is
            used only where somebody names it.
    """

    load: Callable[[Path], Corpus]
    recognises: Callable[[Path], bool] = _never
