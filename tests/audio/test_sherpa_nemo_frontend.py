"""The spectrogram is that of kaldi-native-fbank with what sherpa-onnx asks it for."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.audio.frontends import frontend_from_json, frontend_named
from quantkit.audio.nemo_frontend import LOG_GUARD, NemoFrontend
from quantkit.audio.sherpa_nemo_frontend import SherpaNemoFrontend
from quantkit.errors import AudioError, FormatError
from tests.audio.signals import RATE, assert_same_features, signals

KINDS = {
    "ctc": frontend_named("nemo-sherpa-80"),
    "transducer": SherpaNemoFrontend.for_rate(RATE, 128, transducer=True),
}


def reference(waveform: np.ndarray, transducer: bool, bands: int) -> np.ndarray:
    knf = pytest.importorskip("kaldi_native_fbank", reason="it is compared with this package")
    options = knf.FbankOptions()
    frames, mel = options.frame_opts, options.mel_opts
    frames.dither, frames.samp_freq, frames.snip_edges = 0, RATE, False
    frames.remove_dc_offset = False
    frames.window_type = "povey" if transducer else "hann"
    mel.num_bins, mel.low_freq, mel.high_freq = bands, 0, -400 if transducer else 0
    mel.is_librosa, options.use_log_fbank = True, False
    bank = knf.OnlineFbank(options)
    bank.accept_waveform(RATE, waveform.tolist())
    bank.input_finished()
    powers = np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])
    rows = np.log(powers.astype(np.float64) + LOG_GUARD)
    return np.asarray((rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-5))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", signals())
def test_it_equals_that_of_the_package(name: str, kind: str) -> None:
    waveform, frontend = signals(RATE)[name], KINDS[kind]
    found = frontend(waveform)
    expected = reference(waveform, kind == "transducer", found.shape[1])
    assert found.shape[0] == frontend.frames_of(len(waveform))
    if len(found) < 4:
        # Deviations of a few frames are as small as what single precision makes of them.
        assert np.quantile(np.abs(found - expected), 0.9) < 1e-3
    else:
        assert_same_features(found, expected)


def test_it_is_not_that_of_nemo() -> None:
    waveform = signals(RATE)["chirp"]
    theirs = NemoFrontend()(waveform)
    for frontend in KINDS.values():
        found = frontend(waveform)
        assert len(found) == len(theirs)
        assert np.abs(found[:, :80] - theirs).max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_read_from_what_it_wrote(kind: str) -> None:
    frontend = KINDS[kind]
    assert frontend_from_json(frontend.to_json()) == frontend
    with pytest.raises(FormatError, match="povey is missing"):
        frontend_from_json(frontend.to_json().replace('"povey"', '"poven"'))


def test_what_is_no_clip_is_refused() -> None:
    for clip in (np.zeros(399, np.float32), np.full(500, np.inf, np.float32)):
        with pytest.raises(AudioError):
            SherpaNemoFrontend()(clip)
