"""The spectrogram is GigaAM's, as onnx-asr computes it."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.audio.frontends import frontend_from_json, frontend_named
from quantkit.audio.gigaam_frontend import GigaamFrontend
from quantkit.errors import AudioError
from tests.audio.signals import RATE, signals

SIGNALS = signals()


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("name", SIGNALS)
def test_it_equals_that_of_onnx_asr(version: str, name: str) -> None:
    theirs = pytest.importorskip("onnx_asr.preprocessors.numpy_preprocessor")
    clip = SIGNALS[name]
    features, lengths = theirs.GigaamPreprocessorNumpy(f"gigaam_{version}")(
        clip[None], np.array([len(clip)])
    )
    frontend = frontend_named(f"gigaam-{version}")
    found = frontend(clip)
    assert len(found) == lengths[0] == frontend.frames_of(len(clip))
    # They square in 32 bits; the least power that is told from silence is 1e-9.
    np.testing.assert_allclose(found, features[0].T, atol=5e-3)


def test_its_settings_are_kept() -> None:
    for version in (2, 3):
        frontend = GigaamFrontend.of_version(version)
        assert frontend_from_json(frontend.to_json()) == frontend
        assert frontend.seconds_of(100) == 1.0


def test_what_is_no_clip_is_refused() -> None:
    for clip in (np.zeros(399, np.float32), np.full(500, np.nan, np.float32)):
        with pytest.raises(AudioError):
            GigaamFrontend()(clip)
    assert len(GigaamFrontend()(np.zeros(RATE, np.float32))) == 101
