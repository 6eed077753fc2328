"""Folders of sherpa-onnx's first Moonshine layout, in and out."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile

import quantkit
from benchmarks.moonshine_graphs import STEMS
from quantkit.errors import InputError, ModelError
from quantkit.exporting.folders.registry import layout_of
from quantkit.graph.artifact import read_info
from quantkit.planning.size import with_sizes
from quantkit.quantization.prepared import PreparedModel
from quantkit.tasks.open import open_speech_model
from tests.sherpa_moonshine import moonshine_graphs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moonshine_graphs(tmp_path_factory)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "moonshine"))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    noise = 0.1 * np.random.default_rng(0).standard_normal(24_000)
    soundfile.write(tmp_path / "clip.wav", noise, 16_000)
    return tmp_path / "clip.wav"


def test_it_is_known_by_its_files(folder: Path) -> None:
    layout = layout_of(folder)
    assert layout is not None
    assert "four graphs" in layout.name
    assert [file.stem for file in layout.files(folder).graphs] == [*STEMS]


def test_what_makes_features_may_lack_the_addition(folder: Path) -> None:
    for stem in STEMS[1:]:
        (folder / f"{stem}.onnx").rename(folder / f"{stem}.int8.onnx")
    layout = layout_of(folder)
    assert layout is not None
    assert [file.name for file in layout.files(folder).graphs] == [
        "preprocess.onnx",
        *(f"{stem}.int8.onnx" for stem in STEMS[1:]),
    ]
    (folder / "cached_decode.int8.onnx").unlink()
    with pytest.raises(InputError, match=r"but no cached_decode\.onnx"):
        layout.files(folder)


def test_it_becomes_an_artifact_that_agrees(folder: Path, tmp_path: Path) -> None:
    result = quantkit.export(folder, tmp_path / "tiny.onnx")
    assert result.parity.worst.difference < 1e-3
    assert read_info(tmp_path / "tiny.onnx").task == "moonshine"
    # Projections onto heads are layers, too, whose products the original writes as Einsum.
    layers = quantkit.inspect(tmp_path / "tiny.onnx").layers
    assert sum(layer.op == "MatMul" for layer in layers) == 2 * 6 + 2 * 2 + 2 * 8 + 1


def test_a_folder_becomes_a_folder(folder: Path, clip: Path, tmp_path: Path) -> None:
    quantkit.quantize(folder, tmp_path / "out", "dynamic-int8", clip, suffix=".int8")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted([*(f"{stem}.int8.onnx" for stem in STEMS), "tokens.txt"])
    quantkit.export(folder, tmp_path / "tiny.onnx")
    quantkit.quantize(tmp_path / "tiny.onnx", tmp_path / "int8.onnx", "dynamic-int8", clip)
    text = quantkit.load(tmp_path / "int8.onnx").transcribe(clip).text
    assert text
    assert quantkit.load(tmp_path / "out").transcribe(clip).text == text


def test_a_size_is_that_of_all_files(folder: Path, clip: Path, tmp_path: Path) -> None:
    """Both graphs that decode hold the decoder's weights."""
    quantkit.quantize(folder, tmp_path / "out", "dynamic-int8", clip)
    sizes = [path.stat().st_size for path in (tmp_path / "out").glob("*.onnx")]
    path = quantkit.export(folder, tmp_path / "tiny.onnx").path
    plan = with_sizes(PreparedModel(path, True), "dynamic-int8")
    # The embedding and its transpose have scales of their own: sums of products bound only the one.
    # A file that no plan has foretold says `null` in place of its size.
    foretold = plan.predicted_bytes or 0
    assert foretold == sum(sizes) + len(str(foretold)) - len("null")
    decoders = [(tmp_path / "out" / f"{stem}.onnx").stat().st_size for stem in STEMS[2:]]
    assert decoders[0] > decoders[1] > sum(sizes) // 4


def test_long_texts_are_read_as_they_are_written(folder: Path, tmp_path: Path) -> None:
    quantkit.export(folder, tmp_path / "tiny.onnx")
    noise = 0.1 * np.random.default_rng(1).standard_normal(80_000).astype(np.float32)
    texts = [
        open_speech_model(path).outputs([noise])[0]["token"].tolist()
        for path in (
            tmp_path / "tiny.onnx",
            quantkit.quantize(folder, tmp_path / "f", "float32").path / "preprocess.onnx",
        )
    ]
    assert texts[0] == texts[1]
    assert len(texts[0]) > 5


def test_a_graph_of_another_form_is_named(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(folder / "encode.onnx")
    del model.graph.output[:]
    model.graph.output.extend(onnx.load(folder / "cached_decode.onnx").graph.output)
    (folder / "encode.onnx").write_bytes((folder / "cached_decode.onnx").read_bytes())
    with pytest.raises(ModelError, match=r"encode\.onnx takes 11 values and gives 9"):
        quantkit.export(folder, tmp_path / "tiny.onnx")


def test_a_decoder_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(folder / "uncached_decode.onnx")
    for tensor in model.graph.initializer:
        if tensor.name == "embedding":
            values = onnx.numpy_helper.to_array(tensor)[::-1].copy()
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, folder / "uncached_decode.onnx")
    with pytest.raises(quantkit.ParityError, match="differs from the folder's own files"):
        quantkit.export(folder, tmp_path / "tiny.onnx")
