"""Length, level and noise of a clip, however it is cut into blocks."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.audio.sound import measure_sound


def speech(pause: float) -> np.ndarray:
    """A second at -20 dB, half a second at another level, and again."""
    generator = np.random.default_rng(3)
    parts = [generator.normal(0, 0.1, 16_000), generator.normal(0, pause, 8_000)] * 2
    return np.concatenate(parts).astype(np.float32)


def test_pauses_do_not_count_for_the_level_of_speech() -> None:
    found = measure_sound([speech(0.001)])
    assert found is not None
    assert found.level == pytest.approx(-20, abs=0.2)
    assert found.noise == pytest.approx(40, abs=1)
    assert found.seconds == 3.0


def test_blocks_do_not_matter() -> None:
    clip = speech(0.001)
    whole, parts = measure_sound([clip]), measure_sound(np.split(clip, [7, 1000, 30_011]))
    assert whole is not None
    assert parts is not None
    assert parts.level == pytest.approx(whole.level)
    assert parts.noise == pytest.approx(whole.noise)


def test_a_constant_is_no_sound() -> None:
    assert measure_sound([np.full(16_000, 0.3, np.float32)]) is None
    assert measure_sound([]) is None
    shifted = measure_sound([speech(0.001) + np.float32(0.3)])
    assert shifted is not None
    assert shifted.level == pytest.approx(-20, abs=0.2)


def test_digital_silence_in_pauses_is_no_infinite_ratio() -> None:
    found = measure_sound([speech(0.0)])
    assert found is not None
    assert found.noise == pytest.approx(96)
