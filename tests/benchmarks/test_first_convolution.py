"""Patches of the first convolution: that what is timed is the convolution."""

from __future__ import annotations

import numpy as np

from benchmarks.first_convolution import BANDS, FRAMES, patches, usual


def test_the_product_of_patches_gives_the_convolution() -> None:
    random = np.random.default_rng(2)
    feed = {"spectrogram": random.standard_normal((1, FRAMES, BANDS)).astype(np.float32)}
    one, other = (way(32).run(None, feed)[0] for way in (usual, patches))
    np.testing.assert_array_equal(one, other)
    assert len(np.unique(one)) > 50
    assert not one[:, FRAMES // 3 :].any()
