"""sherpa-onnx opens our folders in the place of the original, and hears what our runner hears."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantkit
from benchmarks.moonshine_graphs import STEMS
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.text.distances import levenshtein
from tests.exporting.folders.small_folders import (
    write_icefall,
    write_sherpa_gigaam,
    write_sherpa_gigaam_ctc,
    write_sherpa_nemo,
    write_streaming_ctc,
    write_streaming_icefall,
    write_streaming_nemo,
    write_streaming_nemo_ctc,
)
from tests.moonshine import moonshine_folder, write_base64_tokens
from tests.sherpa_moonshine import moonshine_graphs
from tests.sherpa_whisper import write_tiny

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
    """A file without what it looks for in the metadata ends the process."""
    folder = write_sherpa_nemo(tmp_path / "float", durations=durations)
    small = quantkit.quantize(folder, tmp_path / "small", "dynamic-int8").path
    for each in (folder, small):
        theirs, ours = opened(each, kind="nemo_transducer"), quantkit.load(each)
        found = [text_of(theirs, clip).split() for clip in clips]
        assert found == [ours.transcribe(clip, 16_000).text.split() for clip in clips]
        assert any(found)


def test_it_opens_ours_in_the_place_of_a_gigaam_transducer(
    clips: list[FloatArray], tmp_path: Path
) -> None:
    folder = write_sherpa_gigaam(tmp_path / "float")
    small = quantkit.quantize(folder, tmp_path / "small", "dynamic-int8").path
    for each in (folder, small):
        theirs, ours = opened(each, kind="nemo_transducer"), quantkit.load(each)
        found = [text_of(theirs, clip).split() for clip in clips]
        assert found == [ours.transcribe(clip, 16_000).text.split() for clip in clips]
        assert any(found)


@pytest.mark.parametrize("gigaam", [True, False])
def test_it_opens_ours_in_the_place_of_a_ctc_model(
    gigaam: bool, clips: list[FloatArray], tmp_path: Path
) -> None:
    folder = write_sherpa_gigaam_ctc(tmp_path / "float", gigaam=gigaam)
    small = quantkit.quantize(folder, tmp_path / "small", "dynamic-int8").path
    for each in (folder, small):
        recognizer = sherpa_onnx.OfflineRecognizer.from_nemo_ctc(
            model=str(each / "model.onnx"), tokens=str(each / "tokens.txt")
        )
        ours = quantkit.load(each)
        found = [text_of(recognizer, clip).split() for clip in clips]
        assert any(found)
        assert found == [ours.transcribe(clip, 16_000).text.split() for clip in clips]


def streamed(recognizer: Any, clip: FloatArray) -> str:
    """With the silence behind a clip that our runner adds."""
    stream = recognizer.create_stream()
    stream.accept_waveform(16_000, clip)
    stream.accept_waveform(16_000, np.zeros(4_800, np.float32))
    stream.input_finished()
    while recognizer.is_ready(stream):
        recognizer.decode_stream(stream)
    return str(recognizer.get_result(stream))


def opened_online(folder: Path, kind: str) -> Any:
    tokens = str(folder / "tokens.txt")
    if kind in ("zipformer2", "nemo_transducer"):
        paths = {name: str(folder / f"{name}.onnx") for name in ("encoder", "decoder", "joiner")}
        return sherpa_onnx.OnlineRecognizer.from_transducer(
            **paths, tokens=tokens, model_type=kind if kind == "zipformer2" else ""
        )
    (model,) = map(str, folder.glob("*.onnx"))
    if kind == "nemo_ctc":
        return sherpa_onnx.OnlineRecognizer.from_nemo_ctc(model=model, tokens=tokens)
    return sherpa_onnx.OnlineRecognizer.from_zipformer2_ctc(model=model, tokens=tokens)


ONLINE: dict[str, Callable[[Path], Path]] = {
    "zipformer2": write_streaming_icefall,
    "zipformer2_ctc": write_streaming_ctc,
    "nemo_transducer": write_streaming_nemo,
    "nemo_ctc": write_streaming_nemo_ctc,
}


@pytest.mark.parametrize("kind", ONLINE)
def test_it_opens_ours_in_the_place_of_a_streaming_model(
    kind: str, clips: list[FloatArray], tmp_path: Path
) -> None:
    folder = ONLINE[kind](tmp_path / "float")
    small = quantkit.quantize(folder, tmp_path / "small", "dynamic-int8").path
    for each in (folder, small):
        recognizer, ours = opened_online(each, kind), quantkit.load(each)
        for clip in clips:
            found, expected = streamed(recognizer, clip), ours.transcribe(clip, 16_000).text
            assert found.strip()
            if kind.startswith("zipformer"):
                # It hears a chunk less of the silence behind a clip.
                theirs, own = (text.replace(" ", "") for text in (found, expected))
                same = min(len(theirs), len(own))
                # Of random weights, two labels may be as likely, and both round otherwise.
                assert levenshtein(theirs[:same], own[:same]) <= same // 10
                assert same > 2


@pytest.mark.slow
def test_it_opens_ours_in_the_place_of_a_whisper(clips: list[FloatArray], tmp_path: Path) -> None:
    """Its windows end ten seconds behind the clip, and it writes what no Whisper should write, so
    texts of random weights differ from ours."""
    folder = write_tiny(tmp_path / "float", ending=0.2)
    small = quantkit.quantize(folder, tmp_path / "small", "dynamic-int8", suffix=".int8").path
    for each, addition in ((folder, ""), (small, ".int8")):
        recognizer = sherpa_onnx.OfflineRecognizer.from_whisper(
            encoder=str(each / f"tiny-encoder{addition}.onnx"),
            decoder=str(each / f"tiny-decoder{addition}.onnx"),
            tokens=str(each / "tiny-tokens.txt"),
            language="en",
        )
        assert any(text_of(recognizer, clip) for clip in clips)


@pytest.mark.slow
def test_it_opens_ours_in_the_place_of_a_moonshine(
    clips: list[FloatArray], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its second layout is that of onnx-community, with tokens in base64."""
    folder = Path(shutil.copytree(moonshine_folder(tmp_path_factory), tmp_path / "float"))
    write_base64_tokens(folder)
    small = quantkit.quantize(folder, tmp_path / "small", "dynamic-int8").path
    for each in (folder, small):
        recognizer = sherpa_onnx.OfflineRecognizer.from_moonshine_v2(
            encoder=str(each / "encoder_model.onnx"),
            decoder=str(each / "decoder_model_merged.onnx"),
            tokens=str(each / "tokens.txt"),
        )
        found = [text_of(recognizer, clip).replace(" ", "") for clip in clips]
        ours = quantkit.load(each)
        expected = [ours.transcribe(clip, 16_000).text.replace(" ", "") for clip in clips]
        # It lets a text be longer before it gives up, and its ONNX Runtime is another.
        assert [text[:8] for text in found] == [text[:8] for text in expected]
        assert any(expected)


@pytest.mark.slow
def test_it_opens_ours_in_the_place_of_a_moonshine_in_four_graphs(
    clips: list[FloatArray], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It gives a text up half a token per second earlier than we do."""
    folder = moonshine_graphs(tmp_path_factory)
    small = quantkit.quantize(folder, tmp_path / "small", "dynamic-int8", suffix=".int8").path
    for each, addition in ((folder, ""), (small, ".int8")):
        names = zip(
            ("preprocessor", "encoder", "uncached_decoder", "cached_decoder"), STEMS, strict=True
        )
        recognizer = sherpa_onnx.OfflineRecognizer.from_moonshine(
            **{name: str(each / f"{stem}{addition}.onnx") for name, stem in names},
            tokens=str(each / "tokens.txt"),
        )
        ours = quantkit.load(each)
        for clip in clips:
            found, expected = text_of(recognizer, clip), ours.transcribe(clip, 16_000).text
            assert len(found) > 5
            assert expected.startswith(found.strip())
