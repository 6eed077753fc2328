"""Features become the chunks of a model's runs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.runtime.streaming.chunks import Chunk, Chunks, chunks_of
from quantkit.runtime.streaming.settings import StreamingSettings

TOLD = StreamingSettings(8, 8, 2, delay=6, ends=True)
NOT_TOLD = StreamingSettings(13, 8, 4, tail=10)
SILENCE = np.array([-7.0], np.float32)


def clip(frames: int) -> np.ndarray:
    return np.arange(1, frames + 1, dtype=np.float32)[:, None]


def shown(chunks: list[Chunk]) -> list[tuple[list[float], int]]:
    return [(chunk.features[:, 0].tolist(), chunk.length) for chunk in chunks]


def test_a_model_that_is_told_where_a_clip_ends_gets_zeros_behind_it() -> None:
    assert shown([*chunks_of(clip(11), TOLD, SILENCE)]) == [
        ([1, 2, 3, 4, 5, 6, 7, 8], 8),
        ([9, 10, 11, 0, 0, 0, 0, 0], 3),
        ([0] * 8, 0),
    ]


def test_another_gets_silence_and_what_the_next_chunk_begins_with() -> None:
    assert shown([*chunks_of(clip(9), NOT_TOLD, SILENCE)]) == [
        ([*range(1, 10), -7, -7, -7, -7], 13),
        ([9, *[-7] * 12], 13),
        ([-7] * 13, 13),
    ]


def test_no_frames_are_no_chunk() -> None:
    assert shown([*chunks_of(clip(0), TOLD, SILENCE)]) == []


@settings(deadline=None)
@given(
    frames=st.integers(0, 60),
    places=st.lists(st.integers(0, 60), max_size=8),
    told=st.booleans(),
)
def test_how_frames_come_changes_nothing(frames: int, places: list[int], told: bool) -> None:
    wanted = TOLD if told else NOT_TOLD
    cutter, found = Chunks(wanted, SILENCE), []
    for piece in np.split(clip(frames), sorted(place for place in places if place <= frames)):
        found += cutter.accept(piece)
    found += cutter.finish()
    assert shown(found) == shown([*chunks_of(clip(frames), wanted, SILENCE)])
    assert len(found) == wanted.runs_for(frames)
    if told:
        assert sum(chunk.length for chunk in found) == frames
