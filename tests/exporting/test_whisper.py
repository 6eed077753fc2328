"""A Whisper of either format becomes two files that give transformers' numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from quantkit.arrays import FloatArray
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import CheckpointError, InputError, ParityError
from quantkit.exporting.sources import ExportOptions, export_source
from quantkit.exporting.text_parity import check_texts
from quantkit.exporting.whisper_parity import whisper_references
from quantkit.graph.artifact import open_model, read_info, total_size
from quantkit.graph.layers import find_layers
from quantkit.models.whisper import vocabulary_places
from quantkit.models.whisper.checkpoint import load_ctranslate2
from quantkit.quantization import quantize_model
from quantkit.runtime.encoder_decoder.network import States
from quantkit.runtime.whisper.model import WhisperModel
from quantkit.tasks.open import open_speech_model
from quantkit.text.decoding import WHOLE, Decoding
from tests.whisper import exported_whisper, serialized, tiny_whisper, write_ctranslate2

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_whisper(tmp_path_factory)


@pytest.fixture(scope="module")
def folders(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The model that was exported, in both formats."""
    fast = tmp_path_factory.mktemp("checkpoints") / "fast"
    return exported.with_suffix(""), write_ctranslate2(fast, tiny_whisper())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    noise = 0.1 * np.random.default_rng(0).standard_normal(24_000)
    soundfile.write(tmp_path / "clip.wav", noise, 16_000)
    return tmp_path / "clip.wav"


def test_both_formats_give_the_same_graphs(
    folders: tuple[Path, Path], exported: Path, tmp_path: Path
) -> None:
    other = tmp_path / "fast.onnx"
    export_source(str(folders[1]), other, ExportOptions())
    one, two = (open_model(path) for path in (exported, other))
    assert [node.name for node in one.graph.node] == [node.name for node in two.graph.node]
    assert abs(total_size(exported) - total_size(other)) < 5_000
    info = read_info(other)
    assert (info.task, info.name) == ("whisper", "fast")
    assert info.vocabulary is not None
    assert info.vocabulary.suppressed == (1, 2)


def test_layers_are_called_by_their_place(exported: Path) -> None:
    names = [layer.name for layer in find_layers(open_model(exported))]
    assert "encoder.conv1" in names
    assert "encoder.layers.1.self_attn.qkv" in names
    assert "encoder.cross_attention.0.key_value" in names
    assert "decoder.layers.0.cross_attn.query" in names
    assert names[-1] == "decoder.projection"


def test_embedding_and_projection_are_stored_once(exported: Path) -> None:
    graph = open_model(exported).graph
    wide = [t for t in graph.initializer if 51_865 in t.dims]
    assert [tuple(t.dims) for t in wide] == [(51_865, 16)]
    # Nor are the positions of the encoder stored: they are computed.
    assert not [t for t in graph.initializer if 1_500 in t.dims]


def test_a_changed_weight_is_found(exported: Path) -> None:
    with pytest.raises(ParityError, match="differs from PyTorch in 18 of 18"):
        check_texts(whisper_references(tiny_whisper(seed=1)), exported)


def test_it_transcribes_whatever_noise_means_to_it(exported: Path, clip: Path) -> None:
    decoding = Decoding(temperatures=(0.0,), language="de")
    model = open_speech_model(exported, decoding=decoding)
    assert isinstance(model, WhisperModel)
    (output,) = model.outputs([model.features(Utterance(clip))])
    assert model.language_of(output) == "de"
    assert set(model.text_of(output)) <= set("abcdefghijklmnopqrstuvwxyz")
    assert model.decoder_in_words == "greedy, language de, no fallback"
    with pytest.raises(InputError, match="knows no language 'qq'"):
        open_speech_model(exported, decoding=Decoding(language="qq"))
    with pytest.raises(InputError, match="greedy and beam"):
        open_speech_model(exported, decoding=Decoding("ctcdecode"))


def test_an_artifact_listens_through_the_windows_that_it_was_exported_for(
    folders: tuple[Path, Path], exported: Path, clip: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.onnx"
    export_source(str(folders[0]), cut, ExportOptions(window=0.5))
    assert read_info(cut).extra == {"window": "0.5"}
    # One of before says nothing, and its windows are whole.
    assert read_info(exported).extra == {}
    for path, asked, frames in ((cut, None, 1_200), (cut, WHOLE, 3_000), (exported, None, 3_000)):
        model = open_speech_model(path, decoding=Decoding(window=asked))
        assert isinstance(model, WhisperModel)
        computed: list[int] = []
        encode = model.network.encode

        def noted(
            features: FloatArray, encode: Any = encode, computed: list[int] = computed
        ) -> States:
            computed.append(features.shape[2])
            return encode(features)  # type: ignore[no-any-return]

        model.network.encode = noted  # type: ignore[method-assign]
        model.outputs([model.features(Utterance(clip))])
        assert computed[0] == frames
    made = quantize_model(cut, tmp_path / "int8.onnx", "dynamic-int8")
    assert made.size_bytes == total_size(tmp_path / "int8.onnx")
    assert read_info(tmp_path / "int8.onnx").extra["window"] == "0.5"


def test_it_quantizes_as_one_model(exported: Path, clip: Path, tmp_path: Path) -> None:
    corpus = Corpus("noise", (Utterance(clip, language="en"),))
    result = quantize_model(exported, tmp_path / "int8.onnx", "hybrid", corpus)
    assert result.size_bytes < 0.4 * result.source_bytes
    embedding, projection = (
        next(row for row in result.layers if row.name == f"decoder.{name}")
        for name in ("embed_tokens", "projection")
    )
    # The one weight is counted once.
    assert (embedding.codec, projection.codec, projection.bytes) == ("int8", "int8", 0)
    model = open_speech_model(tmp_path / "int8.onnx")
    model.outputs([model.features(Utterance(clip))])


def _damaged_ctranslate2(folder: Path, damage: str) -> None:
    weights = folder / "model.bin"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-1_000_000])
    elif damage == "kind":
        weights.write_bytes(serialized({}, "TransformerSpec"))
    elif damage == "version":
        weights.write_bytes(serialized({}, version=5))
    elif damage == "half":
        weights.write_bytes(serialized({"encoder/conv1/weight": np.zeros(3, np.float32)}))
    elif damage == "vocabulary":
        names = (folder / "vocabulary.txt").read_text().split("\n")
        (folder / "vocabulary.txt").write_text("\n".join(names[5:]))
    elif damage == "suppressed":
        (folder / "config.json").write_text('{"suppress_ids": ["a"]}')
    else:
        (folder / "vocabulary.txt").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("cut", "damaged or truncated"),
        ("kind", "a TransformerSpec, not a Whisper"),
        ("version", "format 5, not 6"),
        ("half", "not a complete Whisper: it lacks"),
        ("vocabulary", "it is another model's"),
        ("suppressed", "suppressed tokens are not a list of numbers"),
        ("none", "has no vocabulary"),
    ],
)
def test_damaged_ctranslate2_folders_are_refused(
    damage: str, message: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "fast"
    shutil.copytree(folders[1], folder)
    _damaged_ctranslate2(folder, damage)
    with pytest.raises(CheckpointError, match=message):
        export_source(str(folder), tmp_path / "out.onnx", ExportOptions())
    assert not (tmp_path / "out.onnx").exists()


def _damaged_transformers(folder: Path, damage: str) -> None:
    weights, tokenizer = folder / "model.safetensors", folder / "tokenizer.json"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-1_000])
    elif damage == "no weights":
        weights.unlink()
    elif damage == "config":
        (folder / "config.json").write_text('{"model_type": "whis')
    elif damage == "pointer":
        pointer = "version https://git-lfs.github.com/spec/v1\n"
        (folder / "config.json").write_text(pointer)
    elif damage == "no vocabulary":
        tokenizer.unlink()
    else:
        content = {
            # As T5 and XLM-R have it: pieces with their logarithmic probabilities.
            "unigram": {"model": {"vocab": [["▁a", -1.5]]}, "added_tokens": []},
            "letters": {"model": {"vocab": {"a": "b"}}, "added_tokens": []},
            "another's": {"model": {"vocab": {"a": 10**15}}, "added_tokens": []},
            "not Whisper's": {
                "model": {"vocab": {f"t{i}": i for i in range(51_865)}},
                "added_tokens": [],
            },
        }[damage]
        tokenizer.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("cut", "truncated"),
        ("no weights", "has no weights"),
        ("config", "config.json is not JSON, or is truncated"),
        ("pointer", "config.json is a Git-LFS pointer"),
        ("no vocabulary", "has no vocabulary"),
        ("unigram", "does not number its tokens"),
        ("letters", "does not number its tokens"),
        ("another's", "it is another model's"),
        ("not Whisper's", "has no token <|endoftext|>"),
    ],
)
def test_damaged_transformers_folders_are_refused(
    damage: str,
    message: str,
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vocabulary_places, "_elsewhere", lambda published: ())
    folder = tmp_path / "theirs"
    shutil.copytree(folders[0], folder)
    _damaged_transformers(folder, damage)
    with pytest.raises(CheckpointError, match=message):
        export_source(str(folder), tmp_path / "out.onnx", ExportOptions())
    assert not (tmp_path / "out.onnx").exists()


def test_a_model_may_suppress_nothing(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Converters write null for models whose settings have no lists."""
    folder = tmp_path / "fast"
    shutil.copytree(folders[1], folder)
    (folder / "config.json").write_text('{"suppress_ids": null, "suppress_ids_begin": null}')
    checkpoint = load_ctranslate2(folder)
    assert checkpoint.vocabulary.suppressed == ()
    assert checkpoint.vocabulary.suppressed_first == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"hop_length": 320}, "hop_length is 320"), ({"sampling_rate": 8_000}, "sampling_rate is")],
)
def test_a_spectrogram_of_other_settings_is_refused(
    settings: dict[str, int], message: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "theirs"
    shutil.copytree(folders[0], folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=message):
        export_source(str(folder), tmp_path / "out.onnx", ExportOptions())
