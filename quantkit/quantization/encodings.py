"""Encoded weights that several steps share: what one has encoded, the next need not."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quantkit.calibration.input_moments import InputMoments
from quantkit.codecs.base import Codec, Encoded, Weight
from quantkit.codecs.feedback import SecondMoments

#: Bytes of encoded weights that are kept, unless somebody says otherwise.
MEMORY = 160_000_000


@dataclass(frozen=True)
class MomentsChoice:
    """Which second moments of a layer's input its weight is rounded by.

    Args:
        tracker: of the layer.
        centered: see :meth:`~quantkit.calibration.input_moments.InputMoments.matrix`.
        order: where each input lies among those of ``tracker``, as bytes of int64; None: as they
            are.
    """

    tracker: InputMoments
    centered: bool
    order: bytes | None = None

    def make(self) -> SecondMoments | None:
        """None where nothing was seen."""
        matrix = self.tracker.matrix(centered=self.centered, shrunk=True)
        if matrix is None:
            return None
        if self.order is not None:
            order = np.frombuffer(self.order, np.int64)
            matrix = matrix[..., order[:, None], order]
        return SecondMoments(matrix)

    def digest(self) -> bytes:
        """Of all that :meth:`make` depends on."""
        found = hashlib.sha256(self.tracker.digest())
        found.update(f"{self.centered} {self.order is None}".encode())
        found.update(self.order or b"")
        return found.digest()


class Encodings:
    """Keeps encoded weights by content, and the second moments of the layer at hand.

    Analysis, correction of the plan and quantization meet the same weights, audio and codecs, and
    error-compensated rounding is most of their work. May be used by several threads at once.

    Args:
        memory: bytes of encoded weights to keep: those that were used last.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._free = memory
        #: The one used longest ago comes first.
        self._encoded: dict[bytes, Encoded] = {}
        self._recent: tuple[MomentsChoice, SecondMoments | None] | None = None
        self._lock = threading.Lock()

    def moments(self, choice: MomentsChoice) -> SecondMoments | None:
        """Those of the last choice are kept, with their factors: candidates of a layer share them.

        Only the last: a layer of 6,144 inputs has 150 MB, and as much for each factor.
        """
        with self._lock:
            if self._recent is None or self._recent[0] != choice:
                self._recent = None
                self._recent = choice, choice.make()
            return self._recent[1]

    def get(self, key: bytes, encode: Callable[[], Encoded]) -> Encoded:
        """What was kept under ``key``, or what ``encode`` makes."""
        with self._lock:
            found = self._encoded.pop(key, None)
            if found is not None:
                self._encoded[key] = found
                return found
        found = encode()
        with self._lock:
            self._free += _size(self._encoded.pop(key, None))
            self._free -= _size(found)
            self._encoded[key] = found
            while self._free < 0:
                self._free += _size(self._encoded.pop(next(iter(self._encoded))))
        return found


def _size(encoded: Encoded | None) -> int:
    if encoded is None:
        return 0
    return encoded.levels.nbytes + sum(len(each.raw) for each in encoded.packed)


def encoding_key(codec: Codec, weight: Weight, moments: MomentsChoice | None) -> bytes:
    """Of all that an encoded weight depends on.

    Args:
        weight: without second moments.
        moments: which it will get.
    """
    settings = f"{codec!r} {weight.axis} {weight.for_estimate} {weight.largest_level}"
    found = hashlib.sha256(settings.encode())
    if moments is not None:
        found.update(moments.digest())
    arrays = (
        weight.values,
        weight.importance,
        weight.scale,
        weight.tables,
        weight.channel_importance,
    )
    for array in arrays:
        found.update(b"-" if array is None else f"{array.shape}".encode())
        if array is not None:
            found.update(np.ascontiguousarray(array).data)
    return found.digest()
