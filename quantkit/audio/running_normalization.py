"""Normalisation of features in a stream, where the mean of the whole clip is not known yet.

A front end that removes the mean of a clip, and divides by its deviation, has neither before the
clip ends. In a stream, both are those of the rows that were heard so far, and of some that speech
is expected to have. With n rows heard, of sum S and sum of squares Q, and w expected ones of mean m
and variance v:

    mean = (w m + S) / (w + n)        variance = (w (v + m²) + Q) / (w + n) − mean²

The expected ones keep a pause at the beginning from being made as loud as speech; their part gets
smaller with every row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from quantkit.arrays import Doubles, FloatArray
from quantkit.audio.feature_stream import FeatureStream


@runtime_checkable
class StreamingFrontend(Protocol):
    """A front end whose features can be made in a stream."""

    @property
    def mel_bands(self) -> int:
        """Bands of a row."""
        ...

    @property
    def expected(self) -> tuple[float, float] | None:
        """Mean and variance of the rows of speech; None: features are rows as they are."""
        ...

    def stream(self) -> FeatureStream:
        """Rows of one clip, piece by piece."""
        ...

    def normalized(self, rows: Doubles, mean: Doubles, variance: Doubles) -> FloatArray:
        """Features, (frames, bands), of rows of a clip of this mean and variance, (bands,)."""
        ...


@dataclass(frozen=True)
class Expected:
    """What a stream takes for granted before it has heard anything.

    Args:
        mean, variance: of the rows, over all bands.
        rows: how many heard ones they count as much as.
    """

    mean: float
    variance: float
    rows: int


#: Seconds of speech that a stream takes for granted: with none, words at the beginning suffer, and
#: with more nothing got better on LibriSpeech.
EXPECTED_SECONDS = 0.5


def expected_of(frontend: StreamingFrontend, row_seconds: float) -> Expected | None:
    """What a stream of ``frontend`` takes for granted; None: nothing is normalised.

    Args:
        row_seconds: from one row to the next.
    """
    if frontend.expected is None:
        return None
    return Expected(*frontend.expected, rows=round(EXPECTED_SECONDS / row_seconds))


class RunningNormalization:
    """Rows → features of one clip, piece by piece.

    Rows are normalised in groups, each with the statistics of all rows up to its own last one. So
    features depend on where groups begin, and not on the pieces that rows come in.

    Args:
        first, then: rows of the first group, and of every later one.
        expected: None: features are rows as they are.
    """

    def __init__(
        self, frontend: StreamingFrontend, first: int, then: int, expected: Expected | None
    ) -> None:
        self._frontend, self._expected = frontend, expected
        self._wanted, self._then = first, then
        self._waiting: Doubles = np.empty((0, frontend.mel_bands))
        self._heard = 0
        self._sum = np.zeros(frontend.mel_bands)
        self._squares = np.zeros(frontend.mel_bands)

    def accept(self, rows: Doubles) -> FloatArray:
        """Features of the groups that are complete, (frames, bands), maybe none."""
        self._waiting = np.concatenate((self._waiting, rows))
        found = [np.empty((0, self._frontend.mel_bands), np.float32)]
        while len(self._waiting) >= self._wanted:
            found.append(self._normalized(self._waiting[: self._wanted]))
            self._waiting = self._waiting[self._wanted :]
            self._wanted = self._then
        return np.concatenate(found)

    def finish(self) -> FloatArray:
        """Features of the last group, which need not be complete."""
        rest, self._waiting = self._waiting, self._waiting[:0]
        return self._normalized(rest) if len(rest) else rest.astype(np.float32)

    def _normalized(self, rows: Doubles) -> FloatArray:
        expected = self._expected
        if expected is None:
            return np.asarray(rows, np.float32)
        self._heard += len(rows)
        self._sum += rows.sum(axis=0)
        self._squares += (rows**2).sum(axis=0)
        count = self._heard + expected.rows
        mean = (self._sum + expected.rows * expected.mean) / count
        power = expected.variance + expected.mean**2
        variance = (self._squares + expected.rows * power) / count - mean**2
        return self._frontend.normalized(rows, mean, np.maximum(variance, 0.0))
