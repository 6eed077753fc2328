"""Folders of encoder and decoder that ``quantize_dynamic`` was run on, as the zoos publish them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic

import quantkit
from quantkit.errors import ModelError, ParityError
from quantkit.exporting.sources import ExportOptions, export_source
from tests.moonshine import moonshine_folder
from tests.sherpa_moonshine import moonshine_graphs
from tests.sherpa_whisper import sherpa_whisper

pytestmark = pytest.mark.slow

LAYOUTS: dict[str, Callable[[pytest.TempPathFactory], Path]] = {
    "onnx-community": moonshine_folder,
    "four graphs": moonshine_graphs,
    "whisper": sherpa_whisper,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_they_are_transcribed_and_are_no_float_models(
    layout: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = LAYOUTS[layout](tmp_path_factory)
    folder = Path(shutil.copytree(source, tmp_path / "theirs"))
    for path in folder.rglob("*.onnx"):
        if not path.stem.startswith("preprocess"):
            options = {"EnableSubgraph": True} if "merged" in path.stem else {}
            metadata = [*onnx.load(path).metadata_props]
            quantize_dynamic(path, path, weight_type=QuantType.QInt8, extra_options=options)
            # It drops what a program reads there; the scripts of the zoos put it back.
            model = onnx.load(path)
            if not model.metadata_props:
                model.metadata_props.extend(metadata)
                onnx.save(model, path)
    kinds = {node.op_type for path in folder.rglob("*.onnx") for node in onnx.load(path).graph.node}
    assert "DynamicQuantizeLinear" in kinds
    found = quantkit.load(folder)
    assert found.info.plan is None
    noise = (0.1 * np.random.default_rng(0).standard_normal(32_000)).astype(np.float32)
    assert found.transcribe(noise, 16_000).text.strip()
    with pytest.raises(ModelError, match="is quantized already"):
        quantkit.quantize(folder, tmp_path / "again", "dynamic-int8")


def test_another_decoder_is_not_taken_for_a_level(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is forgiven is a rounding, and not other weights."""
    folder = Path(shutil.copytree(moonshine_graphs(tmp_path_factory), tmp_path / "theirs"))
    for stem in ("uncached_decode", "cached_decode"):
        path = folder / f"{stem}.onnx"
        if stem == "cached_decode":
            model = onnx.load(path)
            for tensor in model.graph.initializer:
                if len(tensor.dims) == 2 and tensor.data_type == onnx.TensorProto.FLOAT:
                    values = onnx.numpy_helper.to_array(tensor)
                    tensor.CopyFrom(onnx.numpy_helper.from_array(values[::-1].copy(), tensor.name))
            onnx.save(model, path)
        quantize_dynamic(path, path, weight_type=QuantType.QInt8)
    with pytest.raises(ParityError, match="differs from the folder's own files"):
        export_source(str(folder), tmp_path / "out.onnx", ExportOptions())
