"""Length-bucketed batches and their collation."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from quantkit.arrays import FloatArray

_T = TypeVar("_T")
_Prepared = TypeVar("_Prepared")

# Convolution libraries prepare a kernel for every new shape, so there should be few.
_FRAMES_MULTIPLE = 64


@dataclass(frozen=True)
class Batch:
    """Padded features and concatenated targets.

    Args:
        features: (batch, frames, bands), or (batch, samples); zeros past each clip's end.
        lengths: (batch,) int64, true frames or samples.
        targets: (sum of target_lengths,) int64 label indices.
        target_lengths: (batch,) int64.
    """

    features: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``; targets stay on the CPU if CTC needs them there."""
        return Batch(
            self.features.to(device, non_blocking=True),
            self.lengths.to(device),
            self.targets.to(device),
            self.target_lengths.to(device),
        )


def bucket(
    items: Sequence[_T],
    seconds_of: Callable[[_T], float],
    batch_seconds: float,
    batch_items: int,
    rng: random.Random,
) -> list[list[_T]]:
    """Batches of items of similar length, in random order.

    The padded duration of a batch stays below ``batch_seconds`` unless a single item is longer.
    Durations are jittered before sorting so that batch mates change from epoch to epoch.
    """
    ordered = sorted(items, key=lambda item: seconds_of(item) * rng.uniform(0.9, 1.1))
    batches: list[list[_T]] = []
    current: list[_T] = []
    longest = 0.0
    for item in ordered:
        longest_then = max(longest, seconds_of(item))
        full = len(current) >= batch_items or longest_then * (len(current) + 1) > batch_seconds
        if current and full:
            batches.append(current)
            current, longest_then = [], seconds_of(item)
        current.append(item)
        longest = longest_then
    if current:
        batches.append(current)
    rng.shuffle(batches)
    return batches


def collate(
    features: Sequence[FloatArray],
    targets: Sequence[Sequence[int]],
    multiple: int = _FRAMES_MULTIPLE,
) -> Batch:
    """Pad features with zeros to the longest of the batch, or a little more; keep true lengths.

    Args:
        features: (frames, bands) or (samples,) of each clip.
        multiple: of frames or samples, that the longest is padded to.
    """
    lengths = [len(f) for f in features]
    frames = -(-max(lengths) // multiple) * multiple
    padded = np.zeros((len(features), frames, *features[0].shape[1:]), np.float32)
    for row, clip in zip(padded, features, strict=True):
        row[: len(clip)] = clip
    return Batch(
        torch.from_numpy(padded),
        torch.tensor(lengths),
        torch.tensor([index for target in targets for index in target], dtype=torch.int64),
        torch.tensor([len(target) for target in targets]),
    )


def prefetch(
    items: Iterable[_T], prepare: Callable[[_T], _Prepared | None], depth: int = 8
) -> Iterator[_Prepared]:
    """Prepare batches in a background thread; ``None`` results are skipped.

    Meanwhile NumPy computes on one thread: the others would spin after each product, on the cores
    that PyTorch trains on.

    An error in ``prepare`` is raised here, in the consumer.
    """
    ready: queue.Queue[_Prepared | BaseException | None] = queue.Queue(depth)
    stopped = threading.Event()

    def put(value: _Prepared | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                ready.put(value, timeout=0.5)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                if stopped.is_set():
                    return
                batch = prepare(item)
                if batch is not None:
                    put(batch)
            put(None)
        except BaseException as error:
            put(error)

    try:
        with threadpool_limits(1, user_api="blas"):
            threading.Thread(target=work, daemon=True).start()
            while True:
                value = ready.get()
                if value is None:
                    return
                if isinstance(value, BaseException):
                    raise value
                yield value
    finally:
        stopped.set()
