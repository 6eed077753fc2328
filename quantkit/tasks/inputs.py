"""What a clip becomes before a model runs on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from quantkit.arrays import Array, FloatArray
from quantkit.audio.level import is_steady, require_sound
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.graph.info import ArtifactInfo

#: Name of a clip, and the model inputs for it as a batch of one.
Feed = tuple[str, Mapping[str, Array]]


@dataclass(frozen=True)
class Portion:
    """What one feed holds.

    Args:
        recordings: clips of the corpus in it; 0 for a later part of a long one.
        seconds: of audio, without padding; 0 where that is unknown.
    """

    recordings: int
    seconds: float


class ClipInputs(ABC):
    """Makes feeds for one model; may keep what the next round can use again.

    Args:
        info: metadata of the model.
        model: the float model itself, for tasks whose inputs it writes a part of.
    """

    def __init__(self, info: ArtifactInfo, model: Path | None = None) -> None:
        self.info = info
        self.model = model
        #: Clips of the last round that are noise or a tone by their level.
        self.steady: list[str] = []

    def check(self, utterance: Utterance, waveform: FloatArray) -> None:
        """Leave silent clips out, and note steady ones.

        Raises:
            AudioError: the clip is silent.
        """
        require_sound(waveform)
        if is_steady(waveform):
            self.steady.append(utterance.identifier)

    @abstractmethod
    def feeds(self, corpus: Corpus, skipped: list[str]) -> Iterator[Feed]:
        """Name and inputs for the usable clips of ``corpus``, in order, one at a time.

        The inputs are those of the whole graph, first values of states included. Rows of posteriors
        that should not count are not requested.

        Args:
            skipped: receives why a clip was left out.

        Raises:
            ModelError: the model does not say what it takes.
            CorpusError: at the end, when not a single clip was usable.
        """

    @abstractmethod
    def portion(self, clip: str, inputs: Mapping[str, Array]) -> Portion:
        """What a feed holds, be it one of these or one that was made elsewhere."""

    def computed_seconds(self, clips: int, seconds: float) -> float:
        """Of audio that the model computes for so many feeds, padding included.

        Args:
            seconds: of audio in them.
        """
        return seconds

    def as_many_as(self, usual: int, clips: int, seconds: float) -> int:
        """How many of these feeds hold as much as so many of a task's usual ones.

        Args:
            usual: see :attr:`~quantkit.tasks.base.Task.fewest_feeds`.
            clips: feeds that there are.
            seconds: of audio in them.
        """
        return usual

    def unknown_languages(self, codes: Collection[str]) -> tuple[str, ...]:
        """Which languages that clips name the model does not know, so that it guesses."""
        return ()
