"""Folders for sherpa-onnx, opened by it: it hears what our runner hears."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantkit
from quantkit.arrays import FloatArray
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.graph.artifact import model_files, read_info
from quantkit.runtime.encoder_decoder.network import ExportedNetwork
from quantkit.text.whisper_vocabulary import WhisperVocabulary
from tests.bundles.profiles.conftest import begin_alike, our_texts

sherpa_onnx = pytest.importorskip("sherpa_onnx", reason="sherpa-onnx is not installed")

Artifact = Callable[[str], Path]


def transducer(folder: Path, kind: str = "") -> Any:
    names = ("encoder", "decoder", "joiner")
    return sherpa_onnx.OfflineRecognizer.from_transducer(
        **{name: str(folder / f"{name}.onnx") for name in names},
        tokens=str(folder / "tokens.txt"),
        model_type=kind,
    )


def one_graph(folder: Path, kind: str) -> Any:
    opened = getattr(sherpa_onnx.OfflineRecognizer, f"from_{kind}")
    return opened(model=str(folder / "model.onnx"), tokens=str(folder / "tokens.txt"))


def texts(recognizer: Any, clips: list[FloatArray]) -> list[str]:
    found = []
    for clip in clips:
        stream = recognizer.create_stream()
        stream.accept_waveform(16_000, clip)
        recognizer.decode_stream(stream)
        found.append(str(stream.result.text))
    return found


@pytest.fixture
def shipped(artifact: Artifact, licence: Path, tmp_path: Path) -> Callable[[str], Path]:
    def ship(name: str) -> Path:
        made = quantkit.ship(
            artifact(name), tmp_path / "shipped", licence=licence, profile="sherpa-onnx"
        )
        quantkit.verify(made.path).require()
        return made.path

    return ship


@pytest.mark.parametrize(
    ("name", "opened"),
    [
        ("icefall", lambda folder: transducer(folder)),
        ("sherpa-gigaam", lambda folder: transducer(folder, "nemo_transducer")),
        ("sherpa-gigaam-ctc", lambda folder: one_graph(folder, "nemo_ctc")),
        ("ctc-True", lambda folder: one_graph(folder, "omnilingual_asr_ctc")),
    ],
)
def test_it_writes_what_our_runner_writes(
    name: str,
    opened: Callable[[Path], Any],
    artifact: Artifact,
    shipped: Callable[[str], Path],
    clips: list[FloatArray],
) -> None:
    found = texts(opened(shipped(name)), clips)
    assert [text.split() for text in found] == [
        text.split() for text in our_texts(artifact(name), clips)
    ]
    assert any(found)


@pytest.mark.parametrize("name", ["three-graphs", "three-graphs-tdt"])
def test_of_nemo_it_writes_what_it_writes_of_the_original(
    name: str,
    original: Artifact,
    licence: Path,
    tmp_path: Path,
    clips: list[FloatArray],
) -> None:
    """Its frames of NeMo's features lie elsewhere than NeMo's, so random weights say other than
    ours."""
    folder = original(name)
    quantkit.export(folder, tmp_path / "float.onnx")
    made = quantkit.ship(
        tmp_path / "float.onnx", tmp_path / "shipped", licence=licence, profile="sherpa-onnx"
    )
    found, expected = (
        texts(transducer(each, "nemo_transducer"), clips) for each in (made.path, folder)
    )
    assert found == expected
    assert any(found)


def test_a_nemo_ctc_model_is_opened(
    shipped: Callable[[str], Path], clips: list[FloatArray]
) -> None:
    assert any(texts(one_graph(shipped("nemo-ctc"), "nemo_ctc"), clips))


@pytest.mark.parametrize("name", ["chunks", "chunks-ctc"])
def test_models_in_chunks_are_opened(
    name: str, shipped: Callable[[str], Path], clips: list[FloatArray]
) -> None:
    folder = shipped(name)
    tokens = str(folder / "tokens.txt")
    if name == "chunks":
        parts = {part: str(folder / f"{part}.onnx") for part in ("encoder", "decoder", "joiner")}
        recognizer = sherpa_onnx.OnlineRecognizer.from_transducer(
            **parts, tokens=tokens, model_type="zipformer2"
        )
    else:
        (graph,) = folder.glob("*.onnx")
        recognizer = sherpa_onnx.OnlineRecognizer.from_zipformer2_ctc(
            model=str(graph), tokens=tokens
        )
    stream = recognizer.create_stream()
    stream.accept_waveform(16_000, clips[0])
    stream.input_finished()
    while recognizer.is_ready(stream):
        recognizer.decode_stream(stream)
    assert str(recognizer.get_result(stream)).strip()


@pytest.mark.slow
def test_a_moonshine_is_written_alike(
    artifact: Artifact, shipped: Callable[[str], Path], clips: list[FloatArray]
) -> None:
    """It gives a text up later than we do."""
    folder = shipped("moonshine")
    recognizer = sherpa_onnx.OfflineRecognizer.from_moonshine_v2(
        encoder=str(folder / "encoder_model.onnx"),
        decoder=str(folder / "decoder_model_merged.onnx"),
        tokens=str(folder / "tokens.txt"),
    )
    assert begin_alike(texts(recognizer, clips), our_texts(artifact("moonshine"), clips))


@pytest.mark.slow
def test_a_whisper_is_written_alike(
    artifact: Artifact, shipped: Callable[[str], Path], clips: list[FloatArray]
) -> None:
    """It hears ten seconds of zeros behind a clip, and may write any token.

    Its features have other last digits, and a model of random weights soon takes another token.
    """
    folder = shipped("whisper")
    recognizer = sherpa_onnx.OfflineRecognizer.from_whisper(
        encoder=str(folder / "model-encoder.onnx"),
        decoder=str(folder / "model-decoder.onnx"),
        tokens=str(folder / "model-tokens.txt"),
        language="en",
    )
    found = texts(recognizer, clips)
    wanted = [as_sherpa(artifact("whisper"), clip) for clip in clips]
    assert [text[:3] for text in found] == [text[:3] for text in wanted]
    assert all(found)


def as_sherpa(path: Path, clip: FloatArray) -> str:
    """Greedy text of what sherpa-onnx gives the encoder, by the artifact itself."""
    vocabulary = read_info(path).vocabulary
    assert isinstance(vocabulary, WhisperVocabulary)
    frames = len(clip) // 160
    features = np.zeros((1, 80, frames + 1_000), np.float32)
    features[0, :, :frames] = WhisperFrontend()(clip)[:frames].T
    network = ExportedNetwork.load(*model_files(path), threads=0)
    encoded, memory = network.encode(features), network.empty_memory()
    new, written = vocabulary.prompt("en"), []
    for _ in range(int(frames / 100 * 6)):
        scores, memory = network.step(np.array([new]), encoded, memory)
        token = int(scores[0, -1].argmax())
        if token == vocabulary.end:
            break
        written.append(token)
        new = [token]
    return vocabulary.decode(token for token in written if token < vocabulary.end)
