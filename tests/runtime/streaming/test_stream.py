"""A model that hears in chunks says of a stream what it says of the clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantkit.audio.samples import resampled
from quantkit.errors import AudioError, InputError
from quantkit.runtime.recognizer import Recognizer
from quantkit.runtime.streaming.chunks import chunks_of
from quantkit.runtime.streaming.recognizer import StreamingRecognizer
from quantkit.text.decoding import Decoding

RATE = 16_000
NOISE = np.random.default_rng(0).normal(0.0, 0.1, 3 * RATE).astype(np.float32)


@pytest.fixture(scope="module")
def model(models: Path) -> StreamingRecognizer:
    return StreamingRecognizer.load(models / "stream.onnx")


@pytest.fixture(scope="module")
def whole(models: Path) -> Recognizer:
    return Recognizer.load(models / "whole.onnx")


@pytest.mark.parametrize("frames", [1, 2, 3, 15, 16, 17, 96, 300])
def test_of_the_same_features_it_gives_the_rows_of_the_whole_clip(
    model: StreamingRecognizer, whole: Recognizer, frames: int
) -> None:
    features = np.random.default_rng(frames).normal(0, 1, (frames, 40)).astype(np.float32)
    (found,), (expected,) = model.outputs([features]), whole.outputs([features])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_rows_come_once_the_look_ahead_was_heard(model: StreamingRecognizer) -> None:
    """Those of the first chunk with the sixth behind it: 48 rows are six chunks of eight."""
    hearing, rows = model.hearing(), []
    for chunk in chunks_of(
        np.ones((160, 40), np.float32), model.settings, np.zeros(40, np.float32)
    ):
        hearing.accept(chunk)
        rows.append(len(hearing.finished()))
    assert rows == [0] * 6 + [8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 81]
    assert model.chunk_seconds == pytest.approx(0.16)
    assert model.look_ahead_seconds == pytest.approx(0.96)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    length=st.integers(0, 3 * RATE),
    places=st.lists(st.integers(0, 3 * RATE), max_size=20),
    rate=st.sampled_from([16_000, 44_100, 8_000, 22_050]),
)
def test_a_stream_in_any_pieces_at_any_rate_says_what_the_clip_says(
    model: StreamingRecognizer, length: int, places: list[int], rate: int
) -> None:
    clip = NOISE[:length]
    stream, texts = model.stream(rate), [""]
    for piece in np.split(clip, sorted(place for place in places if place <= length)):
        texts.append(stream.accept(piece))
    final = stream.finish()
    samples = resampled(clip, rate, RATE) if length else clip
    if samples.size < 400:
        assert final == ""
        return
    (output,) = model.outputs([model.features(samples)])
    assert final == model.text_of(output)
    # A text grows; only its end may be written anew.
    for before, after in zip(texts, [*texts[1:], final], strict=True):
        assert after.startswith(before.rstrip())


def test_it_takes_integers_as_a_microphone_gives_them(model: StreamingRecognizer) -> None:
    integers = (NOISE * 32_767).astype(np.int16)
    streams = [model.stream(RATE) for _ in range(2)]
    for start in range(0, len(NOISE), 1_000):
        streams[0].accept(integers[start : start + 1_000])
        streams[1].accept(integers[start : start + 1_000] / np.float32(32_768))
    assert streams[0].finish() == streams[1].finish() != ""


def test_streams_share_a_model_and_do_not_hear_each_other(model: StreamingRecognizer) -> None:
    one, other, alone = (model.stream(RATE) for _ in range(3))
    quiet = 0.01 * NOISE[::-1]
    for start in range(0, len(NOISE), 1_600):
        piece = slice(start, start + 1_600)
        one.accept(NOISE[piece])
        other.accept(quiet[piece])
        alone.accept(NOISE[piece])
    assert one.finish() == alone.finish()
    assert one.finish() == one.text


def test_reset_begins_with_another_clip(model: StreamingRecognizer) -> None:
    stream = model.stream(RATE)
    stream.accept(NOISE)
    said = stream.finish()
    with pytest.raises(InputError, match=r"reset\(\) begins another one"):
        stream.accept(NOISE)
    stream.reset()
    assert stream.text == ""
    stream.accept(NOISE[: RATE // 2])
    stream.reset()
    stream.accept(NOISE)
    assert stream.finish() == said


def test_nothing_and_very_little_say_nothing(model: StreamingRecognizer) -> None:
    for samples in (0, 1, 399):
        stream = model.stream(RATE)
        assert stream.accept(NOISE[:samples]) == ""
        assert stream.finish() == ""


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        (np.zeros((100, 2), np.float32), r"one channel, not \(100, 2\)"),
        (np.array([0.0, np.nan], np.float32), "not finite"),
        (np.array([0.0, 900.0], np.float32), "divide 16-bit numbers"),
        (np.zeros(10, np.uint8), "ambiguous"),
    ],
)
def test_pieces_that_are_no_audio_are_refused(
    model: StreamingRecognizer, piece: np.ndarray, reason: str
) -> None:
    with pytest.raises(AudioError, match=reason):
        model.stream(RATE).accept(piece)


def test_the_final_text_follows_the_decoder(models: Path) -> None:
    model = StreamingRecognizer.load(models / "stream.onnx", decoding=Decoding("beam"))
    stream = model.stream(RATE)
    stream.accept(NOISE)
    (output,) = model.outputs([model.features(NOISE)])
    assert stream.finish() == model.text_of(output)


def test_a_clip_in_blocks_is_heard_like_any_other(model: StreamingRecognizer) -> None:
    (expected,) = model.outputs([model.features(NOISE)])
    found = model.long_output(iter(np.split(NOISE, [5, 7_000])))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_features_of_other_bands_are_refused(model: StreamingRecognizer) -> None:
    with pytest.raises(InputError, match=r"takes \(frames, 40\) per clip"):
        model.outputs([np.zeros((50, 80), np.float32)])


def test_a_model_of_whole_clips_has_no_stream(whole: Recognizer) -> None:
    with pytest.raises(InputError, match="hears whole clips, so it has no text before the end"):
        whole.stream(RATE)


def test_no_clip_is_computed_with_others(model: StreamingRecognizer, whole: Recognizer) -> None:
    assert not model.takes_batches
    assert model.longest_input == 16
    assert len(model.chunk_steps(np.zeros((20, 40), np.float32))) == model.settings.runs_for(20)
    assert whole.chunk_steps(np.zeros((20, 40), np.float32)) == []
