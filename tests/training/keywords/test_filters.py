from __future__ import annotations

import numpy as np

from quantkit.audio.mel import hertz_to_mel, mel_to_hertz
from quantkit.training.keywords.filters import gabor_filters


def test_the_mel_scale_has_an_inverse_and_1000_at_1000() -> None:
    hertz = np.array([0.0, 440.0, 1_000.0, 8_000.0])
    np.testing.assert_allclose(mel_to_hertz(hertz_to_mel(hertz)), hertz, atol=1e-9)
    assert round(float(hertz_to_mel(hertz)[2])) == 1_000


def test_filters_are_pairs_of_unit_norm_with_rising_centres() -> None:
    filters = gabor_filters(32, 400, 16_000)
    assert filters.shape == (32, 400)
    np.testing.assert_allclose(np.linalg.norm(filters, axis=1), 1.0, rtol=1e-6)
    peaks = np.abs(np.fft.rfft(filters, 16_000)).argmax(axis=1)
    assert np.all(np.abs(peaks[::2] - peaks[1::2]) <= 2)
    assert np.all(np.diff(peaks[::2]) > 0)
    assert 60 < peaks[0] < peaks[-1] < 8_000


def test_a_pair_is_a_quarter_of_a_period_apart() -> None:
    cosine, sine = gabor_filters(32, 400, 16_000)[16:18]
    assert abs(float(cosine @ sine)) < 1e-6


def test_an_odd_number_of_channels_ends_with_half_a_pair() -> None:
    np.testing.assert_array_equal(gabor_filters(7, 80, 16_000), gabor_filters(8, 80, 16_000)[:7])
