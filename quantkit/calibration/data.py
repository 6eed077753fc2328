"""Calibration clips as model inputs, to be gone through as often as needed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from quantkit.audio.utterance import Corpus
from quantkit.graph.info import ArtifactInfo
from quantkit.tasks.base import Task
from quantkit.tasks.catalogue import task_of
from quantkit.tasks.inputs import ClipInputs, Feed

_LOG = logging.getLogger(__name__)

Calibration = Corpus | Iterable[Feed]

#: Bytes of a corpus's clips that are kept in memory for the next time; that is an hour and more of
#: features. A corpus of more is read anew each time.
KEPT_BYTES = 64_000_000


class CalibrationData:
    """Clips as a model takes them, one after the other, each time from the first.

    ::

        feeds = CalibrationData.of(corpus, info)
        for clip, inputs in feeds:
            session.run(None, inputs)

    Args:
        source: a corpus, whose audio is passed through the model's front end, or ready inputs. An
            iterator is read into memory.
        info: metadata of the model.
        model: the float model itself, for one that is observed on its own text.
    """

    def __init__(self, source: Calibration, info: ArtifactInfo, model: Path | None = None) -> None:
        self.source: Calibration = tuple(source) if isinstance(source, Iterator) else source
        self.info = info
        self.model = model
        self._unread: list[str] = []
        self._left_out: dict[str, str] = {}
        #: Whether the float model is known to hear something in one of the clips.
        self.heard = False
        self._kept: tuple[Feed, ...] | None = None

    @classmethod
    def of(
        cls,
        calibration: Calibration | CalibrationData,
        info: ArtifactInfo,
        model: Path | None = None,
    ) -> CalibrationData:
        """``calibration`` as feeds, which it may be already."""
        return (
            calibration
            if isinstance(calibration, CalibrationData)
            else cls(calibration, info, model)
        )

    def __iter__(self) -> Iterator[Feed]:
        """Name and inputs of each usable clip.

        Raises:
            ModelError: the model carries no front end, and the source is audio.
            CorpusError: at the end, when not a single clip of a corpus was usable.
        """
        return (feed for feed in self._all() if feed[0] not in self._left_out)

    def _all(self) -> Iterator[Feed]:
        if self._kept is not None:
            return iter(self._kept)
        if isinstance(self.source, Corpus):
            return self._read(self.source)
        return iter(self.source)

    @property
    def skipped(self) -> list[str]:
        """Why clips were left out: those that could not be read in the last round, and others."""
        return [*self._unread, *self._left_out.values()]

    def leave_out(self, reasons: Mapping[str, str]) -> bool:
        """Go without some clips from now on.

        Args:
            reasons: by the name of the clip.

        Returns:
            whether one of them was not left out already.
        """
        new = reasons.keys() - self._left_out.keys()
        self._left_out |= {clip: reasons[clip] for clip in reasons if clip in new}
        self.__dict__.pop("_content", None)
        for clip in sorted(new):
            _LOG.info("left out: %s", reasons[clip])
        return bool(new)

    def _read(self, corpus: Corpus) -> Iterator[Feed]:
        self._unread.clear()
        kept: list[Feed] = []
        size = 0
        for feed in self._inputs.feeds(corpus, self._unread):
            size += sum(values.nbytes for values in feed[1].values())
            if size <= KEPT_BYTES:
                kept.append(feed)
            else:
                kept.clear()
            yield feed
        for reason in self._unread:
            _LOG.info("left out: %s", reason)
        if size <= KEPT_BYTES:
            self._kept = tuple(kept)

    @property
    def task(self) -> Task:
        """What the model is for.

        Raises:
            ModelError: its metadata name no known task.
        """
        return task_of(self.info)

    @cached_property
    def _inputs(self) -> ClipInputs:
        return self.task.inputs(self.info, self.model)

    @property
    def unknown_languages(self) -> tuple[str, ...]:
        """Codes that clips name and the model does not know, so that it guesses."""
        if not isinstance(self.source, Corpus):
            return ()
        return self._inputs.unknown_languages(self.source.values("language"))

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why clips of the source are not among them, once they were gone through."""
        unopened = self.source.skipped if isinstance(self.source, Corpus) else ()
        return (*unopened, *self.skipped)

    @property
    def steady(self) -> tuple[str, ...]:
        """Clips of the last round that are noise or a tone by their level.

        See :func:`~quantkit.audio.level.is_steady`.
        """
        return tuple(self._inputs.steady)

    def only(self, positions: Collection[int]) -> CalibrationData:
        """The clips at ``positions``, counted from 0."""
        chosen = CalibrationData(_Some(self, frozenset(positions)), self.info, self.model)
        chosen._inputs = self._inputs
        return chosen

    def digest(self) -> str:
        """SHA-256 of the model's inputs, independent of the clips' names."""
        return self._content[0]

    @property
    def clips(self) -> int:
        """How many are usable: what the model runs on at a time."""
        return self._content[1]

    @property
    def recordings(self) -> int:
        """How many clips of the source are in them: short ones may share what is run at a time."""
        return self._content[4]

    @property
    def seconds(self) -> float:
        """Of audio in them; 0 for inputs of a model without a front end."""
        return self._content[2]

    @property
    def computed_seconds(self) -> float:
        """Of audio that the model computes, padding included.

        0 for inputs of a model without a front end.
        """
        return self._inputs.computed_seconds(self.clips, self.seconds)

    @property
    def fewest(self) -> int:
        """How many of them an analysis hears, if there are so many, whatever that costs."""
        return self._inputs.as_many_as(self.task.fewest_feeds, self.clips, self.seconds)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers in the largest input of each clip, in proportion to what it costs to compute."""
        return self._content[3]

    @cached_property
    def _content(self) -> tuple[str, int, float, tuple[int, ...], int]:
        digest, clips, seconds, recordings = hashlib.sha256(), 0, 0.0, 0
        sizes: list[int] = []
        for clip, inputs in self:
            for name, values in sorted(inputs.items()):
                digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
                digest.update(np.ascontiguousarray(values).data)
            clips += 1
            portion = self._inputs.portion(clip, inputs)
            recordings += portion.recordings
            seconds += portion.seconds
            sizes.append(max((values.size for values in inputs.values()), default=0))
        return digest.hexdigest(), clips, seconds, tuple(sizes), recordings


@dataclass(frozen=True)
class _Some:
    """Some of the clips of others."""

    feeds: CalibrationData
    positions: frozenset[int]

    def __iter__(self) -> Iterator[Feed]:
        return (feed for i, feed in enumerate(self.feeds) if i in self.positions)


def evenly(clips: int, wanted: int) -> tuple[int, ...]:
    """Positions of ``wanted`` of ``clips`` clips, evenly spread.

    >>> evenly(10, 2)
    (2, 7)
    """
    return tuple(int((i + 0.5) * clips / wanted) for i in range(wanted))
