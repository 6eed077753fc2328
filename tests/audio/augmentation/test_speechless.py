from __future__ import annotations

import numpy as np

from quantkit.audio.augmentation.speechless import speechless


def test_noise_is_as_long_as_asked_and_within_full_scale() -> None:
    for seed, samples in enumerate((0, 1, 7, 1_600, 40_000)):
        sound = speechless(samples, 16_000, np.random.default_rng(seed))
        assert sound.shape == (samples,)
        assert sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert np.abs(sound).max(initial=0.0) <= 1.0


def test_loudness_and_colour_differ_from_clip_to_clip_and_some_are_silent() -> None:
    sounds = [speechless(8_000, 16_000, np.random.default_rng(seed)) for seed in range(100)]
    levels = np.array([np.sqrt(np.mean(s**2)) for s in sounds])
    assert 3 <= np.sum(levels == 0) <= 25
    audible = levels[levels > 0]
    assert audible.max() > 100 * audible.min()
    assert audible.max() < 10 ** (-9 / 20)
    low = [np.sum(np.abs(np.fft.rfft(s))[:400] ** 2) for s in sounds]
    share = np.array(
        [b / (len(s) * np.sum(s**2) / 2) for b, s in zip(low, sounds, strict=True) if s.any()]
    )
    assert share.max() > 0.9
    assert share.min() < 0.3
