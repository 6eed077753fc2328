"""onnx-asr opens our folders in the place of the original, and hears what our runner hears."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import quantkit
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.audio.nemo_frontend import NemoFrontend
from tests.exporting.folders.small_folders import (
    write_gigaam,
    write_gigaam_ctc,
    write_icefall,
    write_nemo,
    write_nemo_ctc,
)

onnx_asr = pytest.importorskip("onnx_asr", reason="onnx-asr is not installed")

REPOSITORY = Path(__file__).resolve().parents[3]
KINDS: dict[str, Callable[[Path], Path]] = {
    "nemo-conformer-tdt": write_nemo,
    "nemo-conformer-rnnt": lambda folder: write_nemo(folder, durations=0),
    "nemo-conformer-ctc": write_nemo_ctc,
    "kaldi-rnnt": write_icefall,
    "gigaam-v2-ctc": write_gigaam_ctc,
    "gigaam-v3-ctc": lambda folder: write_gigaam_ctc(folder, version="v3"),
    "gigaam-v3-e2e-ctc": lambda folder: write_gigaam_ctc(folder, version="v3", e2e=True),
    "gigaam-v2-rnnt": write_gigaam,
    "gigaam-v3-e2e-rnnt": lambda folder: write_gigaam(folder, version="v3", e2e=True),
}


@pytest.fixture(scope="module")
def clips() -> list[FloatArray]:
    speech = open_corpus(REPOSITORY / "calibration_data").sample(3)
    return [load_waveform(clip, 16_000)[:32_000] for clip in speech]


def words(text: str) -> list[str]:
    # onnx-asr leaves no two spaces in a row.
    return text.split()


@pytest.mark.parametrize("bands", [80, 128])
def test_its_front_end_is_ours(bands: int, clips: list[FloatArray]) -> None:
    from onnx_asr.preprocessors.numpy_preprocessor import NemoPreprocessorNumpy

    theirs, ours = NemoPreprocessorNumpy(f"nemo{bands}"), NemoFrontend.for_rate(16_000, bands)
    for clip in clips:
        features, lengths = theirs(clip[None], np.array([len(clip)]))
        expected = ours(clip)
        assert lengths.tolist() == [len(expected)]
        np.testing.assert_allclose(features[0, :, : len(expected)].T, expected, atol=5e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_it_hears_the_same_in_the_original_and_in_ours(
    kind: str, clips: list[FloatArray], tmp_path: Path
) -> None:
    folder = KINDS[kind](tmp_path / "float")
    small = quantkit.quantize(folder, tmp_path / "small", "dynamic-int8").path
    for each in (folder, small):
        theirs, ours = onnx_asr.load_model(kind, each), quantkit.load(each)
        found = [words(theirs.recognize(clip, sample_rate=16_000)) for clip in clips]
        assert found == [words(ours.transcribe(clip, 16_000).text) for clip in clips]
        assert any(found)


def test_it_finds_files_with_an_addition(clips: list[FloatArray], tmp_path: Path) -> None:
    folder = write_nemo(tmp_path / "both")
    quantkit.quantize(folder, folder, "dynamic-int8", suffix=".int8")
    model = onnx_asr.load_model("nemo-conformer-tdt", folder, quantization="int8")
    assert model.recognize(clips[0], sample_rate=16_000).strip()


@pytest.mark.slow
def test_a_trained_model_is_heard_alike(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data.parent / "models" / "nemo-tdt-digits"
    digits = shared_data / "digits"
    if not folder.is_dir() or not digits.is_dir():
        pytest.skip(f"no trained transducer at {folder}")
    corpus = open_corpus(digits).select(split="test", speaker="george")
    small = quantkit.quantize(folder, tmp_path / "small", "dynamic-int8").path
    # Words behind each other, as the model was trained on.
    takes = [load_waveform(clip, 16_000) for clip in corpus]
    pause = np.zeros(3_200, np.float32)
    sequences = [
        np.concatenate([part for take in takes[i : i + 5] for part in (take, pause)])
        for i in range(0, len(takes), 5)
    ]
    for each in (folder, small):
        theirs, ours = onnx_asr.load_model("nemo-conformer-tdt", each), quantkit.load(each)
        for clip in sequences:
            assert theirs.recognize(clip, sample_rate=16_000) == ours.transcribe(clip, 16_000).text
