"""The filter bank is that of kaldi-native-fbank with what sherpa-onnx's streams hand on."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.audio.frontends import frontend_from_json, frontend_named
from quantkit.audio.hann_kaldi_frontend import HannKaldiFrontend
from quantkit.errors import AudioError, FormatError
from tests.audio.signals import RATE, assert_same_features, signals


def reference(waveform: np.ndarray) -> np.ndarray:
    knf = pytest.importorskip("kaldi_native_fbank", reason="it is compared with this package")
    options = knf.FbankOptions()
    frames, mel = options.frame_opts, options.mel_opts
    frames.dither, frames.samp_freq, frames.snip_edges = 0, RATE, False
    frames.remove_dc_offset, frames.window_type = False, "hann"
    mel.num_bins, mel.low_freq, mel.high_freq = 64, 0, 8_000
    bank = knf.OnlineFbank(options)
    bank.accept_waveform(RATE, waveform.tolist())
    bank.input_finished()
    return np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])


@pytest.mark.parametrize("name", signals())
def test_it_equals_that_of_the_package(name: str) -> None:
    waveform = signals(RATE)[name]
    expected = reference(waveform)
    frontend = frontend_named("gigaam-sherpa")
    found = frontend(waveform)
    assert found.shape == (frontend.frames_of(len(waveform)), 64)
    assert_same_features(found, expected)


def test_it_is_read_from_what_it_wrote() -> None:
    frontend = HannKaldiFrontend.for_rate(8_000)
    assert frontend_from_json(frontend.to_json()) == frontend
    with pytest.raises(FormatError, match="hop is missing"):
        frontend_from_json(frontend.to_json().replace('"hop"', '"hip"'))


def test_what_is_no_clip_is_refused() -> None:
    for clip in (np.zeros(399, np.float32), np.full(500, np.inf, np.float32)):
        with pytest.raises(AudioError):
            HannKaldiFrontend()(clip)
