"""Folders of Whisper as onnx-community publishes them and transformers.js opens them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile

import quantkit
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import CheckpointError, InputError, ModelError
from quantkit.graph.artifact import read_info
from quantkit.personalization.pipeline import PersonalizeSettings
from quantkit.runtime.encoder_decoder.merged import MergedNetwork
from quantkit.runtime.whisper.model import WhisperModel
from quantkit.tasks.open import open_speech_model
from quantkit.text.decoding import Decoding
from tests.whisper_folder import whisper_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whisper_folder(tmp_path_factory)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(made, tmp_path / "whisper")
    return tmp_path / "whisper"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    noise = 0.1 * np.random.default_rng(0).standard_normal(24_000)
    soundfile.write(tmp_path / "clip.wav", noise, 16_000)
    return tmp_path / "clip.wav"


def test_it_becomes_a_whisper_that_agrees(folder: Path, tmp_path: Path) -> None:
    result = quantkit.export(folder, tmp_path / "tiny.onnx")
    assert result.parity.worst.difference < 1e-3
    info = read_info(tmp_path / "tiny.onnx")
    assert (info.task, info.name) == ("whisper", "whisper")
    assert info.vocabulary is not None
    assert isinstance(info.frontend, WhisperFrontend)
    assert info.frontend.mel_bands == 80


def test_a_folder_becomes_a_folder_of_the_same_names(
    folder: Path, clip: Path, tmp_path: Path
) -> None:
    made = quantkit.quantize(folder, tmp_path / "out", "hybrid", clip, suffix="_int8")
    assert made.divergence is not None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "decoder_model_merged_int8.onnx",
        "encoder_model_int8.onnx",
        "generation_config.json",
        "tokenizer.json",
    ]
    model = open_speech_model(tmp_path / "out" / "encoder_model_int8.onnx")
    assert isinstance(model, WhisperModel)
    assert isinstance(model.network, MergedNetwork)
    for name in ("encoder_model", "decoder_model_merged"):
        theirs = onnx.load(str(folder / f"{name}.onnx")).graph
        ours = onnx.load(str(tmp_path / "out" / f"{name}_int8.onnx")).graph
        for side in ("input", "output"):
            names = [[value.name for value in getattr(each, side)] for each in (theirs, ours)]
            assert names[0] == names[1]


def test_a_budget_is_that_of_both_files(folder: Path, clip: Path, tmp_path: Path) -> None:
    result = quantkit.personalize(folder, tmp_path / "out", clip, "1.5MB")
    sizes = [path.stat().st_size for path in (tmp_path / "out").glob("*.onnx")]
    assert sum(sizes) == result.size_bytes
    assert result.size_bytes <= 1_500_000


def test_the_heads_that_follow_the_audio_are_known(folder: Path, tmp_path: Path) -> None:
    settings = json.loads((folder / "generation_config.json").read_text())
    settings["alignment_heads"] = [[1, 0]]
    (folder / "generation_config.json").write_text(json.dumps(settings))
    quantkit.export(folder, tmp_path / "tiny.onnx")
    assert read_info(tmp_path / "tiny.onnx").extra["alignment_heads"] == "[[1, 0]]"


def test_what_its_form_does_not_allow_is_refused(folder: Path, clip: Path, tmp_path: Path) -> None:
    quantkit.export(folder, tmp_path / "tiny.onnx")
    with pytest.raises(InputError, match="takes whole windows alone"):
        open_speech_model(tmp_path / "tiny.onnx", decoding=Decoding(window=4.0))
    with pytest.raises(InputError, match="takes whole windows alone"):
        quantkit.personalize(
            tmp_path / "tiny.onnx",
            tmp_path / "user.onnx",
            clip,
            "2MB",
            settings=PersonalizeSettings(window=4.0),
        )
    quantkit.quantize(folder, tmp_path / "out", "dynamic-int8", clip)
    with pytest.raises(InputError, match="the form that it was published in"):
        open_speech_model(tmp_path / "out" / "encoder_model.onnx", decoding=Decoding(words=True))


def test_a_spectrogram_of_another_kind_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps({"hop_length": 100}))
    with pytest.raises(CheckpointError, match="hop_length is 100"):
        quantkit.export(folder, tmp_path / "tiny.onnx")
    (folder / "preprocessor_config.json").unlink()
    model = onnx.load(str(folder / "encoder_model.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 60
    onnx.save(model, str(folder / "encoder_model.onnx"))
    with pytest.raises(ModelError, match="a window of 80 or 128 bands"):
        quantkit.export(folder, tmp_path / "tiny.onnx")
