"""sherpa-onnx opens our folders in the place of the original, and hears what our runner hears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import quantkit
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from tests.exporting.folders.small_folders import write_icefall, write_sherpa_nemo

sherpa_onnx = pytest.importorskip("sherpa_onnx", reason="sherpa-onnx is not installed")

REPOSITORY = Path(__file__).resolve().parents[3]
ADDITION = "-epoch-9-avg-1"


@pytest.fixture(scope="module")
def clips() -> list[FloatArray]:
    speech = open_corpus(REPOSITORY / "calibration_data").sample(3)
    return [load_waveform(clip, 16_000)[:32_000] for clip in speech]


def text_of(recognizer: Any, clip: FloatArray) -> str:
    stream = recognizer.create_stream()
    stream.accept_waveform(16_000, clip)
    recognizer.decode_stream(stream)
    return str(stream.result.text)


def opened(folder: Path, addition: str = "", kind: str = "") -> Any:
    paths = {
        name: str(folder / f"{name}{addition}.onnx") for name in ("encoder", "decoder", "joiner")
    }
    return sherpa_onnx.OfflineRecognizer.from_transducer(
        **paths, tokens=str(folder / "tokens.txt"), model_type=kind
    )


def test_it_hears_the_same_in_the_original_and_in_ours(
    clips: list[FloatArray], tmp_path: Path
) -> None:
    folder = write_icefall(tmp_path / "float", inner="", addition=ADDITION)
    small = quantkit.quantize(folder, tmp_path / "small", "dynamic-int8").path
    for each in (folder, small):
        theirs, ours = opened(each, ADDITION), quantkit.load(each)
        found = [text_of(theirs, clip).split() for clip in clips]
        assert found == [ours.transcribe(clip, 16_000).text.split() for clip in clips]
        assert any(found)


@pytest.mark.parametrize("durations", [0, 5])
def test_it_opens_ours_in_the_place_of_a_nemo_transducer(
    durations: int, clips: list[FloatArray], tmp_path: Path
) -> None:
    """Its frames of NeMo's features lie elsewhere than NeMo's, so texts of random weights differ.

    A file without what it looks for in the metadata ends the process.
    """
    folder = write_sherpa_nemo(tmp_path / "float", durations=durations)
    small = quantkit.quantize(folder, tmp_path / "small", "dynamic-int8").path
    recognizer = opened(small, kind="nemo_transducer")
    assert any(text_of(recognizer, clip).strip() for clip in clips)
