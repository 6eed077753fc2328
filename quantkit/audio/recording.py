"""One recording of a file: its samples, counted and checked while they come."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.containers import Part
from quantkit.audio.containers.riff import TOLERATED_SECONDS, TOLERATED_SHARE
from quantkit.audio.decoders import Decoded
from quantkit.errors import AudioError

#: Samples of float formats may exceed full scale a little; 16-bit numbers that were only converted
#: to float, without being divided, exceed it thousands of times.
LOUDEST = 8.0

# Of the mean of all channels, as a share of their own energy: a channel that is the other one
# turned over leaves rounding errors.
_CANCELLED = 1e-4
_TOLERATED_OF_MEDIA = 0.2

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Excerpt:
    """A part of a file, in seconds from its beginning.

    >>> Excerpt(2.5, 4.0).seconds
    1.5
    """

    start: float = 0.0
    stop: float = float("inf")

    @property
    def seconds(self) -> float:
        """Its duration; infinite where it goes to the end of the file."""
        return self.stop - self.start


#: All of a file.
WHOLE = Excerpt()


@dataclass
class Recording:
    """The samples of one recording, counted and checked while they come.

    Args:
        before: seconds of the recordings in front of it in the same file.
        complete: whether an end that is missing is an error.
        frames: samples of a channel that were decoded so far.
        is_damaged: whether decoding ended before its end, which was said.
        energy, mixed_energy: sums of squares, of all channels and of their mean.
    """

    name: str
    decoded: Decoded
    before: float
    excerpt: Excerpt
    max_seconds: float
    part: Part
    complete: bool = True
    frames: int = 0
    is_damaged: bool = False
    energy: float = 0.0
    mixed_energy: float = 0.0

    def blocks(self) -> Iterator[FloatArray]:
        """(samples,) each, of the excerpt alone."""
        rate, excerpt = self.decoded.rate, self.excerpt
        first = round((excerpt.start - self.before) * rate)
        last = round(min((excerpt.stop - self.before) * rate, 2.0**62))
        for block in self._until_damage():
            begin, end = max(0, first - self.frames), max(0, last - self.frames)
            self.frames += len(block)
            # A header may state fewer samples than the stream has, or none.
            seconds = min(self.before + self.frames / rate, excerpt.stop) - excerpt.start
            require_length(seconds, self.max_seconds)
            mono = _mixed(block[begin:end])
            _check_samples(mono)
            if block.shape[1] > 1:
                self._add_energy(block[begin:end], mono)
            if mono.size:
                yield mono
            if self.frames >= last:
                break
        else:
            if not self.is_damaged:
                self._check_complete()
        if self.mixed_energy < _CANCELLED * self.energy:
            _warn_once(
                f"{self.name}: its channels cancel each other out where they are averaged; give "
                "one of them"
            )

    def _until_damage(self) -> Iterator[FloatArray]:
        """What can be decoded, where that is enough."""
        try:
            yield from self.decoded.blocks
        except AudioError as error:
            stated = self.decoded.frames
            if stated is not None and self.frames >= stated:
                warn(self.name, ("what follows its samples is no sound",))
                return
            if self.complete or not self.frames:
                raise
            self.is_damaged = True
            _warn_once(f"{self.name} {error}; its first {self._seconds:.2f} s are heard")

    @property
    def _seconds(self) -> float:
        return self.frames / self.decoded.rate

    def _add_energy(self, block: FloatArray, mono: FloatArray) -> None:
        self.energy += float(np.vdot(block, block)) / block.shape[1]
        self.mixed_energy += float(np.vdot(mono, mono))

    def _check_complete(self) -> None:
        stated = self.decoded.frames
        if self.part.missing and self.frames:
            # The decoder has counted what is there.
            stated = round(self.frames / max(1 - self.part.missing, 1e-9))
        rate = self.decoded.rate
        tolerated = TOLERATED_SECONDS
        if stated is None and self.decoded.is_exact:
            # Encoders pad, and formats count in steps of their own.
            stated, tolerated = round(self.decoded.seconds * rate), _TOLERATED_OF_MEDIA
        if not self.part.ends and self.frames:
            self._end_is_missing(f"its first {self._seconds:.2f} s could be decoded")
        if stated is None or self.frames >= stated or not self.frames:
            return
        missing = stated - self.frames
        sentence = f"{self._seconds:.2f} of {stated / rate:.2f} s could be decoded"
        if missing > max(TOLERATED_SHARE * stated, min(tolerated * rate, stated / 4)):
            self._end_is_missing(sentence)
        elif self.decoded.frames is not None:
            warn(self.name, (f"it is cut off, {sentence}",))

    def _end_is_missing(self, sentence: str) -> None:
        if self.complete:
            raise AudioError(f"is cut off: {sentence}")
        _warn_once(f"{self.name} is cut off: {sentence}, and are heard")


def _check_samples(mono: FloatArray) -> None:
    peak = float(np.abs(mono).max(initial=0.0))
    if not np.isfinite(peak):
        raise AudioError("holds samples that are not finite (NaN or infinity)")
    if peak > LOUDEST:
        raise AudioError(
            f"holds samples up to {peak:g}, and floats are to be in [-1, 1]; 16-bit numbers are "
            "to be divided by 32768"
        )


def require_end(part: Part, decoded: Decoded, complete: bool) -> None:
    """Refuse what the header shows to be cut off, without decoding it."""
    if complete and part.missing > TOLERATED_SHARE and decoded.frames:
        stated = decoded.frames / max(1 - part.missing, 1e-9)
        if part.missing * stated > min(TOLERATED_SECONDS * decoded.rate, stated / 4):
            raise AudioError(
                f"is cut off: {decoded.frames / decoded.rate:.2f} of {stated / decoded.rate:.2f} s "
                "could be decoded"
            )


def _mixed(block: FloatArray) -> FloatArray:
    """The mean of all channels."""
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)


def require_length(seconds: float, max_seconds: float) -> None:
    if seconds > max_seconds:
        raise AudioError(f"lasts {seconds:.0f} s or more; the limit is {max_seconds:g} s")


def warn(name: str, notes: tuple[str, ...]) -> None:
    for note in notes:
        _warn_once(f"{name}: {note}; the rest is heard")


# A clip is decoded several times in a command.
@cache
def _warn_once(message: str) -> None:
    _LOG.warning(message)
