"""How an artifact hears in chunks is read from its metadata, or refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.audio.running_normalization import Expected
from quantkit.errors import ModelError
from quantkit.runtime.streaming.settings import (
    STREAMING,
    StreamingSettings,
    streaming_settings,
)

OURS = StreamingSettings(
    32, 32, 2, delay=48, look_ahead=96, ends=True, expected=Expected(-5.0, 12.5, 50)
)
THEIRS = StreamingSettings(45, 32, 4, look_ahead=13, tail=30)


@pytest.mark.parametrize("settings", [OURS, THEIRS])
def test_what_is_written_is_read(settings: StreamingSettings) -> None:
    assert streaming_settings({STREAMING: settings.to_json()}) == settings


@given(frames=st.integers(1, 2_000))
def test_the_last_run_is_the_first_that_gives_the_last_row(frames: int) -> None:
    runs, rows = OURS.runs_for(frames), frames // 2 + 1
    assert runs * 16 - 48 >= rows > (runs - 1) * 16 - 48


@given(frames=st.integers(1, 2_000))
def test_silence_follows_a_clip_whose_end_is_not_told(frames: int) -> None:
    assert THEIRS.runs_for(frames) * 32 >= frames + 30


def test_nothing_takes_no_run() -> None:
    assert OURS.runs_for(0) == THEIRS.runs_for(0) == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shift": 33}, "do not follow one another"),
        ({"shift": 31}, "do not follow one another"),
        ({"stride": 0}, "do not follow one another"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"chunk": 10**9}, "chunk must be at least 1"),
        ({"delay": -1}, "delay"),
        ({"chunk": "32"}, "chunk"),
        ({"step": 1}, "unknown setting step"),
        ({"expected": {"mean": 0.0}}, "variance"),
    ],
)
def test_damaged_settings_are_refused(change: dict[str, object], reason: str) -> None:
    text = json.dumps({**json.loads(OURS.to_json()), **change})
    with pytest.raises(ModelError, match=f"metadata is damaged.*{reason}"):
        streaming_settings({STREAMING: text})


def test_a_model_of_whole_clips_says_nothing() -> None:
    with pytest.raises(ModelError, match="does not say how it hears in chunks"):
        streaming_settings({})
