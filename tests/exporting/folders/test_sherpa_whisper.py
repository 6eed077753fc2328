"""Folders of Whisper as sherpa-onnx publishes them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile

import quantkit
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import CheckpointError, InputError, ModelError
from quantkit.exporting.folders.registry import layout_of
from quantkit.graph.artifact import read_info
from quantkit.graph.layers import find_layers
from quantkit.tasks.open import open_speech_model
from quantkit.text.decoding import Decoding
from quantkit.text.whisper_vocabulary import WhisperVocabulary
from tests.sherpa_whisper import sherpa_whisper
from tests.whisper import TEXT_TOKENS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sherpa_whisper(tmp_path_factory)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(made, tmp_path / "whisper")
    return tmp_path / "whisper"


def clip(folder: Path) -> Path:
    noise = 0.1 * np.random.default_rng(0).standard_normal(8_000)
    soundfile.write(folder / "clip.wav", noise, 16_000)
    return folder / "clip.wav"


def say(folder: Path, **metadata: str | None) -> None:
    """Change entries of the encoder's metadata, or take them away."""
    path = folder / "tiny-encoder.onnx"
    model = onnx.load(path)
    entries = {each.key: each.value for each in model.metadata_props}
    found = {key: value for key, value in {**entries, **metadata}.items() if value is not None}
    onnx.helper.set_model_props(model, found)
    onnx.save(model, path)


def test_it_becomes_a_whisper_that_agrees(made: Path, tmp_path: Path) -> None:
    result = quantkit.export(made, tmp_path / "tiny.onnx")
    assert result.parity.worst.difference < 1e-4
    info = read_info(tmp_path / "tiny.onnx")
    assert (info.task, info.name) == ("whisper", "whisper")
    assert info.frontend == WhisperFrontend()
    vocabulary = info.vocabulary
    assert isinstance(vocabulary, WhisperVocabulary)
    assert vocabulary.decode([0, 1, 2, TEXT_TOKENS]) == "abc"
    assert len(vocabulary.languages or {}) == 27
    assert vocabulary.prompt("de") == [TEXT_TOKENS + n for n in (1, 4)] + [50_359, 50_363]
    assert vocabulary.size == 51_865


def test_the_embedding_is_the_projection_and_a_layer_of_both(made: Path, tmp_path: Path) -> None:
    quantkit.export(made, tmp_path / "tiny.onnx")
    layers = find_layers(onnx.load(tmp_path / "tiny.decoder.onnx"))
    (embedding,) = (each for each in layers if each.op == "Gather")
    (projection,) = (each for each in layers if each.shape == (16, 51_865))
    assert embedding.weight == projection.weight


def test_what_is_made_of_it_has_its_form(made: Path, tmp_path: Path) -> None:
    small = quantkit.quantize(
        made, tmp_path / "out", "dynamic-int8", clip(tmp_path), suffix=".int8"
    )
    assert small.divergence is not None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "tiny-decoder.int8.onnx",
        "tiny-encoder.int8.onnx",
        "tiny-tokens.txt",
    ]
    for name in ("tiny-encoder", "tiny-decoder"):
        theirs, ours = (
            onnx.load(made / f"{name}.onnx"),
            onnx.load(tmp_path / "out" / f"{name}.int8.onnx"),
        )
        assert list(ours.graph.input) == list(theirs.graph.input)
        assert [v.name for v in ours.graph.output] == [v.name for v in theirs.graph.output]
        said = {each.key: each.value for each in ours.metadata_props}
        assert {each.key: each.value for each in theirs.metadata_props}.items() <= said.items()
    samples, rate = soundfile.read(tmp_path / "clip.wav", dtype="float32")
    assert quantkit.load(tmp_path / "out").transcribe(samples, rate).text


def test_windows_may_be_short_and_words_have_no_times(made: Path, tmp_path: Path) -> None:
    model = quantkit.load(made, decoding=Decoding(window=1.0, temperatures=(0.0,)))
    noise = 0.1 * np.random.default_rng(1).standard_normal(8_000).astype(np.float32)
    assert model.transcribe(noise, 16_000).text
    quantkit.export(made, tmp_path / "tiny.onnx")
    with pytest.raises(ModelError, match="its cross-attention is not in the graph"):
        open_speech_model(tmp_path / "tiny.onnx", decoding=Decoding(words=True))


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"n_text_layer": None}, "metadata n_text_layer is missing, which sherpa-onnx needs"),
        ({"sot": "first"}, "metadata sot is first"),
        ({"n_mels": "60"}, "has 60 bands and 448 tokens"),
        ({"all_language_codes": "en,de"}, "it names 2 languages for 27 tokens"),
        ({"non_speech_tokens": "1;2"}, "metadata non_speech_tokens is no list of tokens"),
    ],
)
def test_metadata_that_steer_nothing_are_refused(
    folder: Path, metadata: dict[str, str | None], reason: str
) -> None:
    say(folder, **metadata)
    with pytest.raises(ModelError, match=reason):
        quantkit.load(folder)


def test_tokens_of_another_model_are_refused(folder: Path) -> None:
    tokens = folder / "tiny-tokens.txt"
    lines = tokens.read_text().splitlines()
    tokens.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(InputError, match="they are of different models"):
        quantkit.load(folder)
    tokens.write_text("YQ== 1\n")
    with pytest.raises(CheckpointError, match="does not number its tokens in order"):
        quantkit.load(folder)
    tokens.unlink()
    with pytest.raises(InputError, match=r"has no tiny-tokens\.txt"):
        quantkit.load(folder)


def test_other_pairs_of_graphs_are_none(folder: Path) -> None:
    assert layout_of(folder) is not None
    (folder / "tiny-decoder.onnx").unlink()
    assert layout_of(folder) is None
