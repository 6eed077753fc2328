from __future__ import annotations

import numpy as np

from quantkit.audio.augmentation.rooms import reverberated

_RATE = 16_000


def _click() -> np.ndarray:
    waveform = np.zeros(_RATE, np.float32)
    waveform[1_000] = 0.5
    return waveform


def test_a_click_is_followed_by_a_tail_that_decays_and_nothing_sounds_before_it() -> None:
    for seed in range(8):
        heard = reverberated(_click(), _RATE, np.random.default_rng(seed))
        assert np.abs(heard[:1_000]).max() < 1e-6
        assert abs(heard[1_000]) == np.abs(heard).max()
        tail = heard[1_001:] ** 2
        assert tail[:8_000].sum() > 100 * tail[8_000:].sum() > -1


def test_a_room_changes_neither_length_nor_energy() -> None:
    rng = np.random.default_rng(0)
    waveform = rng.standard_normal(12_345).astype(np.float32)
    heard = reverberated(waveform, _RATE, rng)
    assert heard.shape == waveform.shape
    assert heard.dtype == np.float32
    assert not np.allclose(heard, waveform, atol=0.01)
    np.testing.assert_allclose(np.sum(heard**2), np.sum(waveform**2), rtol=1e-4)


def test_silence_stays_silent() -> None:
    assert not reverberated(np.zeros(500, np.float32), _RATE, np.random.default_rng(0)).any()
