from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from quantkit.audio.utterance import Utterance
from quantkit.training.batching import bucket, collate, prefetch
from quantkit.training.mixture import Clip, seconds_of


def _clips(seconds: list[float]) -> list[Clip]:
    return [(Utterance(Path(f"{i}.wav"), "a", seconds=s),) for i, s in enumerate(seconds)]


def test_batches_hold_every_clip_once_and_stay_within_their_limits() -> None:
    rng = random.Random(0)
    clips = _clips([rng.uniform(1, 15) for _ in range(200)])
    batches = bucket(clips, seconds_of, batch_seconds=60.0, batch_items=16, rng=rng)
    heard = [clip for batch in batches for clip in batch]
    assert sorted(c[0].path for c in heard) == sorted(c[0].path for c in clips)  # type: ignore[type-var]
    for batch in batches:
        assert len(batch) <= 16
        assert max(c[0].seconds for c in batch) * len(batch) <= 60.0


def test_bucketing_wastes_little_padding() -> None:
    rng = random.Random(0)
    clips = _clips([rng.uniform(1, 15) for _ in range(500)])
    batches = bucket(clips, seconds_of, 60.0, 64, rng)
    padded = sum(max(c[0].seconds for c in b) * len(b) for b in batches)
    assert padded < 1.2 * sum(c[0].seconds for c in clips)


def test_a_clip_longer_than_the_limit_gets_a_batch_of_its_own() -> None:
    batches = bucket(_clips([100.0, 2.0]), seconds_of, 60.0, 8, random.Random(0))
    assert sorted(len(b) for b in batches) == [1, 1]


def test_collation_pads_with_zeros_and_keeps_true_lengths() -> None:
    short, long = np.ones((3, 2), np.float32), np.ones((70, 2), np.float32)
    batch = collate([short, long], [[1, 2], [3]])
    assert batch.lengths.tolist() == [3, 70]
    assert batch.features.shape[1] >= 70
    assert batch.features[0, 3:].abs().sum() == 0
    assert batch.targets.tolist() == [1, 2, 3]
    assert batch.target_lengths.tolist() == [2, 1]


def test_prefetching_keeps_the_order_leaves_out_nothing_usable_and_passes_errors_on() -> None:
    def prepare(value: int):  # type: ignore[no-untyped-def]
        if value == 3:
            raise RuntimeError("broken clip")
        return None if value == 1 else collate([np.full((1, 1), value, np.float32)], [[value]])

    batches = prefetch(range(4), prepare, depth=1)
    assert [int(next(batches).targets) for _ in range(2)] == [0, 2]
    with pytest.raises(RuntimeError, match="broken clip"):
        next(batches)


def test_numpy_computes_on_one_thread_while_batches_are_prepared() -> None:
    """Its other threads would spin on the cores that PyTorch trains on."""

    def blas_threads() -> set[int]:
        return {int(p["num_threads"]) for p in threadpool_info() if p["user_api"] == "blas"}

    before = blas_threads()
    batches = prefetch(range(2), lambda _: blas_threads())
    assert next(batches) == {1}
    batches.close()
    assert blas_threads() == before
