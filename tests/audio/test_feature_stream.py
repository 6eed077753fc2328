"""Features of a stream are those of the whole clip, however it is cut into pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.audio.frontend import Frontend
from quantkit.audio.frontends import AnyFrontend, frontend_from_json, streaming_frontend
from quantkit.audio.kaldi_frontend import KaldiFrontend
from quantkit.audio.nemo_frontend import NemoFrontend, NemoRawFrontend
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import InputError

FRONTENDS: dict[str, AnyFrontend] = {
    "log-mel": Frontend(),
    "log-mel at 8 kHz": Frontend(8_000, 200, 80, 256, 40, 20.0, 3_800.0),
    "kaldi": KaldiFrontend(),
    "nemo": NemoFrontend(),
    "nemo, raw": NemoRawFrontend(),
}
NOISE = np.random.default_rng(0).normal(0.0, 0.1, 40_000).astype(np.float32)


def rows_of(frontend: AnyFrontend, pieces: list[np.ndarray]) -> np.ndarray:
    stream = streaming_frontend(frontend).stream()
    return np.concatenate([*(stream.accept(piece) for piece in pieces), stream.finish()])


def cut(samples: np.ndarray, places: list[int]) -> list[np.ndarray]:
    return np.split(samples, sorted(place for place in places if place <= len(samples)))


@pytest.mark.parametrize("name", FRONTENDS)
@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(480, 6_000),
    places=st.lists(st.integers(0, 6_000), max_size=12),
)
def test_pieces_give_the_features_of_the_whole_clip(
    name: str, length: int, places: list[int]
) -> None:
    """Once the mean and variance of the clip are known, where they are needed."""
    frontend, clip = FRONTENDS[name], NOISE[:length]
    rows = rows_of(frontend, cut(clip, places))
    ddof = int(isinstance(frontend, NemoFrontend))
    if len(rows) <= ddof:
        return
    found = streaming_frontend(frontend).normalized(rows, rows.mean(0), rows.var(0, ddof=ddof))
    np.testing.assert_allclose(found, frontend(clip), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", FRONTENDS)
def test_rows_come_as_soon_as_their_samples_are_there(name: str) -> None:
    frontend = FRONTENDS[name]
    stream = streaming_frontend(frontend).stream()
    window = frontend.window
    hop = window * 2 // 5
    assert len(stream.accept(NOISE[: window - 1])) == 0
    known = len(stream.accept(NOISE[window - 1 : window]))
    assert known >= 1
    for frame in range(1, 20):
        assert len(stream.accept(NOISE[window + (frame - 1) * hop : window + frame * hop])) == 1


@pytest.mark.parametrize("name", FRONTENDS)
def test_single_samples_and_empty_pieces_change_nothing(name: str) -> None:
    clip = NOISE[:1_300]
    one_by_one = [piece for sample in clip for piece in (clip[:0], np.array([sample]))]
    whole = rows_of(FRONTENDS[name], [clip])
    np.testing.assert_allclose(rows_of(FRONTENDS[name], one_by_one), whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", FRONTENDS)
@pytest.mark.parametrize("samples", [0, 1, 100])
def test_a_clip_below_a_window_has_no_rows(name: str, samples: int) -> None:
    frontend = FRONTENDS[name]
    assert rows_of(frontend, [NOISE[:samples]]).shape == (0, frontend(NOISE[:800]).shape[1])


def test_features_that_need_the_whole_clip_are_refused() -> None:
    with pytest.raises(InputError, match="WhisperFrontend depend on the whole clip"):
        streaming_frontend(WhisperFrontend())


def test_features_without_normalisation_are_said_in_the_metadata() -> None:
    raw = NemoRawFrontend(mel_bands=128)
    assert frontend_from_json(raw.to_json()) == raw
    assert frontend_from_json(NemoFrontend().to_json()) == NemoFrontend()
    rows = raw.stream().accept(NOISE)
    np.testing.assert_allclose(raw(NOISE)[: len(rows)], rows, rtol=1e-6)
