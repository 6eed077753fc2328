"""The filter bank is that of kaldi-native-fbank with the options of icefall and sherpa."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.audio.frontends import frontend_named
from quantkit.audio.kaldi_frontend import KaldiFrontend
from quantkit.errors import AudioError
from tests.audio.signals import RATE, assert_same_features, signals


def reference(waveform: np.ndarray, rate: int, scale: float) -> np.ndarray:
    knf = pytest.importorskip("kaldi_native_fbank", reason="it is compared with this package")
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = rate
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = 80
    options.mel_opts.high_freq = -400
    bank = knf.OnlineFbank(options)
    bank.accept_waveform(rate, (waveform * scale).tolist())
    bank.input_finished()
    return np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])


@pytest.mark.parametrize("rate", [RATE, 8_000, 22_050])
@pytest.mark.parametrize("name", signals())
@pytest.mark.parametrize("kind", ["kaldi-80", "kaldi-80-int16"])
def test_it_equals_that_of_the_package(rate: int, name: str, kind: str) -> None:
    waveform = signals(rate)[name]
    scale = 32_768.0 if kind.endswith("int16") else 1.0
    expected = reference(waveform, rate, scale)
    frontend = frontend_named(kind, rate)
    if len(waveform) < frontend.window:
        pytest.skip("a window is longer at this rate")
    found = frontend(waveform)
    assert found.shape == (frontend.frames_of(len(waveform)), 80)
    assert_same_features(found, expected)


def test_silence_is_the_smallest_power() -> None:
    found = KaldiFrontend()(np.zeros(RATE, np.float32))
    np.testing.assert_allclose(found, np.log(np.finfo(np.float32).eps), rtol=1e-6)


def test_what_is_no_clip_is_refused() -> None:
    for clip in (np.zeros(399, np.float32), np.full(500, np.inf, np.float32)):
        with pytest.raises(AudioError):
            KaldiFrontend()(clip)
