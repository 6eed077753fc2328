"""From audio in any form to what a model takes while it is analysed or calibrated."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from quantkit.api.defaults import CALIBRATION_SPLIT
from quantkit.api.inputs import Audio, PathLike, corpus_of, path_of
from quantkit.api.outputs import check_outputs
from quantkit.audio.selection import Selection
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.sensitivity.cache import default_cache_folder

#: Where analyses are kept: True, the user's cache folder; False, nowhere; or a folder.
Cache: TypeAlias = bool | PathLike


def calibration_clips(
    audio: Audio,
    sample_rate: float | None,
    selection: Selection | None,
    *,
    clips: int,
    outputs: Iterable[Path | None],
    split: str = CALIBRATION_SPLIT,
) -> Corpus:
    """The unlabelled clips that a verb takes of ``audio``.

    Args:
        clips: how many, where the selection does not say.
        outputs: what the verb will write; none of it may replace a clip.
        split: that the verb is for.

    Raises:
        AudioError, CorpusError, InputError: see :func:`~quantkit.api.inputs.corpus_of` and
            :class:`~quantkit.audio.selection.Selection`.
    """
    selection = selection or Selection()
    corpus = selection.filtered(corpus_of(audio, sample_rate))
    check_outputs(outputs, (clip.path for clip in corpus))
    return selection.drawn(corpus, split=split, clips=clips)


def in_words(corpus: Corpus) -> str:
    """How many clips of which corpus."""
    count = len(corpus)
    return f"{count} clip{'s' * (count != 1)} of {corpus.name}"


def left_out(feeds: CalibrationData | None) -> tuple[str, ...]:
    """Why clips could not be used, once the feeds were gone through; none without feeds."""
    return () if feeds is None else feeds.left_out


def cache_folder(cache: Cache) -> Path | None:
    """The folder that ``cache`` means; None for none.

    Raises:
        InputError: it is neither a path nor a yes or no.
    """
    if cache is True:
        return default_cache_folder()
    return None if cache is False else path_of(cache, "the cache")
