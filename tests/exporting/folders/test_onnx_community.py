"""Folders with a merged decoder, as onnx-community publishes Moonshine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile

import quantkit
from quantkit.errors import InputError, ModelError
from quantkit.exporting.folders.registry import layout_of
from quantkit.graph.artifact import read_info
from quantkit.tasks.open import open_speech_model
from tests.moonshine import moonshine_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moonshine_folder(tmp_path_factory)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(made, tmp_path / "moonshine")
    return tmp_path / "moonshine"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    noise = 0.1 * np.random.default_rng(0).standard_normal(24_000)
    soundfile.write(tmp_path / "clip.wav", noise, 16_000)
    return tmp_path / "clip.wav"


def test_it_is_known_by_its_files(folder: Path) -> None:
    layout = layout_of(folder)
    assert layout is not None
    assert "onnx-community" in layout.name
    (folder / "onnx").mkdir()
    for file in [*folder.glob("*.onnx")]:
        file.rename(folder / "onnx" / file.name)
    assert layout_of(folder) == layout
    assert [file.parent.name for file in layout.files(folder).graphs] == ["onnx", "onnx"]


def test_it_becomes_an_artifact_that_agrees(folder: Path, tmp_path: Path) -> None:
    result = quantkit.export(folder, tmp_path / "tiny.onnx")
    assert result.parity.worst.difference < 1e-3
    info = read_info(tmp_path / "tiny.onnx")
    assert (info.task, info.name) == ("moonshine", "moonshine")
    assert info.labels is not None
    # Sixty tokens have names, and the outputs behind them write nothing.
    assert len(info.labels.tokens) == 64
    assert info.labels.decode([3, 5, 63, 4]) == "aa b"


def test_a_folder_becomes_a_folder(folder: Path, clip: Path, tmp_path: Path) -> None:
    quantkit.quantize(folder, tmp_path / "out", "hybrid", clip, suffix=".int8")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "decoder_model_merged.int8.onnx",
        "encoder_model.int8.onnx",
        "tokens.txt",
    ]
    (text,) = [t.text for t in quantkit.load(tmp_path / "out").transcribe([clip])]
    quantkit.export(folder, tmp_path / "tiny.onnx")
    quantkit.quantize(tmp_path / "tiny.onnx", tmp_path / "int8.onnx", "hybrid", clip)
    assert quantkit.load(tmp_path / "int8.onnx").transcribe(clip).text == text
    layers = quantkit.inspect(tmp_path / "out").layers
    assert {layer.compute for layer in layers} == {"float32", "dynamic"}


def test_a_budget_is_that_of_both_files(folder: Path, clip: Path, tmp_path: Path) -> None:
    result = quantkit.personalize(folder, tmp_path / "out", clip, "330KB")
    sizes = [path.stat().st_size for path in (tmp_path / "out").glob("*.onnx")]
    assert sum(sizes) == result.size_bytes
    assert result.size_bytes <= 330_000


def test_a_vocabulary_may_be_a_tokenizer(folder: Path, tmp_path: Path) -> None:
    names = [line.split("\t")[0] for line in (folder / "tokens.txt").read_text().splitlines()]
    (folder / "tokens.txt").unlink()
    with pytest.raises(InputError, match=r"no tokenizer\.json or tokens\.txt"):
        quantkit.export(folder, tmp_path / "tiny.onnx")
    model = {"type": "BPE", "vocab": {name: i for i, name in enumerate(names)}, "merges": []}
    (folder / "tokenizer.json").write_text(json.dumps({"model": model}))
    quantkit.export(folder, tmp_path / "tiny.onnx")
    labels = read_info(tmp_path / "tiny.onnx").labels
    assert labels is not None
    assert labels.decode([3, 5, 4]) == "aa b"


def test_tokens_of_one_byte_are_bytes(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "tokens.txt").read_bytes().splitlines(keepends=True)
    lines[5:9] = [b"\n\t5\n", b"\\xc3\t6\n", b"\\xa9\t7\n", b"\t\t8\n"]
    (folder / "tokens.txt").write_bytes(b"".join(lines))
    quantkit.export(folder, tmp_path / "tiny.onnx")
    labels = read_info(tmp_path / "tiny.onnx").labels
    assert labels is not None
    assert labels.decode([3, 6, 7]) == "aé"


def test_a_vocabulary_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    lines = "".join(f"t{number}\t{number}\n" for number in range(70))
    (folder / "tokens.txt").write_text(lines)
    with pytest.raises(InputError, match="70 tokens, and the model writes 64"):
        quantkit.export(folder, tmp_path / "tiny.onnx")
    (folder / "tokens.txt").write_text("a\t1\nb\t0\n")
    with pytest.raises(InputError, match="from id 0 on"):
        quantkit.export(folder, tmp_path / "tiny.onnx")


def test_an_encoder_of_another_family_is_named(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(str(folder / "encoder_model.onnx"))
    model.graph.input[0].name = "pixel_values"
    for node in model.graph.node:
        node.input[:] = ["pixel_values" if n == "input_values" else n for n in node.input]
    onnx.save(model, str(folder / "encoder_model.onnx"))
    with pytest.raises(InputError, match=r"takes pixel_values; .* input_features \(Whisper\) or"):
        quantkit.export(folder, tmp_path / "tiny.onnx")


def test_a_decoder_that_is_not_merged_is_named(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(str(folder / "decoder_model_merged.onnx"))
    next(v for v in model.graph.input if v.name == "use_cache_branch").name = "flag"
    for node in model.graph.node:
        node.input[:] = ["flag" if n == "use_cache_branch" else n for n in node.input]
    onnx.save(model, str(folder / "decoder_model_merged.onnx"))
    with pytest.raises(ModelError, match="use_cache_branch"):
        quantkit.export(folder, tmp_path / "tiny.onnx")


def test_times_of_words_need_an_export(folder: Path, clip: Path, tmp_path: Path) -> None:
    quantkit.export(folder, tmp_path / "tiny.onnx")
    asked = quantkit.Decoding(words=True)
    heard = quantkit.load(tmp_path / "tiny.onnx", decoding=asked).transcribe(clip)
    assert " ".join(word.text for word in heard.words) == " ".join(heard.text.split())
    quantkit.quantize(folder, tmp_path / "out", "dynamic-int8", clip)
    with pytest.raises(InputError, match="the form that it was published in"):
        open_speech_model(tmp_path / "out" / "encoder_model.onnx", decoding=asked)


def test_long_clips_are_heard_in_pieces(folder: Path, tmp_path: Path) -> None:
    quantkit.export(folder, tmp_path / "tiny.onnx")
    model = open_speech_model(tmp_path / "tiny.onnx")
    noise = 0.1 * np.random.default_rng(0).standard_normal(45 * 16_000).astype(np.float32)
    (output,) = model.outputs([noise])
    assert set(output["piece"].tolist()) <= {0, 1}
    in_blocks = model.long_output(iter(np.array_split(noise, 7)))
    for name in ("token", "piece"):
        np.testing.assert_array_equal(in_blocks[name], output[name])


def test_tokens_in_base64_are_the_same(folder: Path, tmp_path: Path) -> None:
    from quantkit.text.label_files.written_tokens import token_labels
    from tests.moonshine import OUTPUTS, write_base64_tokens

    expected = token_labels(folder, OUTPUTS)
    write_base64_tokens(folder)
    assert token_labels(folder, OUTPUTS).tokens == expected.tokens
    (folder / "tokens.txt").write_text("YQ== 0\nYQ= 1\n")
    with pytest.raises(InputError, match="is no base64"):
        token_labels(folder, OUTPUTS)
