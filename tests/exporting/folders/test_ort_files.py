"""Folders whose graphs are in ONNX Runtime's own format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import quantkit
from quantkit.errors import InputError
from quantkit.exporting.folders.registry import layout_of
from quantkit.exporting.sources import ExportOptions, export_source
from tests.exporting.folders.small_folders import write_nemo_ctc
from tests.moonshine import moonshine_folder
from tests.ort_files import folder_of_ort


@pytest.mark.slow
def test_a_moonshine_is_read_and_written_as_onnx(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = moonshine_folder(tmp_path_factory)
    folder = folder_of_ort(source, tmp_path / "ort")
    assert layout_of(folder) == layout_of(source)
    noise = 0.1 * np.random.default_rng(0).standard_normal(24_000)
    soundfile.write(tmp_path / "clip.wav", noise, 16_000)
    text = quantkit.load(source).transcribe(tmp_path / "clip.wav").text
    assert text
    assert quantkit.load(folder).transcribe(tmp_path / "clip.wav").text == text
    quantkit.quantize(folder, tmp_path / "out", "dynamic-int8", suffix=".int8")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "decoder_model_merged.int8.onnx",
        "encoder_model.int8.onnx",
        "tokens.txt",
    ]


def test_a_graph_alone_needs_its_labels(tmp_path: Path) -> None:
    folder = folder_of_ort(write_nemo_ctc(tmp_path / "onnx"), tmp_path / "ort")
    path = (folder / "model.ort").rename(tmp_path / "alone.ort")
    with pytest.raises(InputError, match=r"ONNX Runtime's own format, .* give --labels and --task"):
        export_source(str(path), tmp_path / "a.onnx", ExportOptions())
    labels = folder / "vocab.txt"
    options = ExportOptions(labels=labels, task="ctc", frontend="nemo-80")
    report = export_source(str(path), tmp_path / "a.onnx", options)
    assert report.worst.difference <= report.tolerance


def test_a_layout_that_is_not_known_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = folder_of_ort(write_nemo_ctc(tmp_path / "onnx"), tmp_path / "ort")
    (folder / "model.ort").rename(folder / "thing.ort")
    with pytest.raises(InputError, match=r"\.ort files in a layout that is not known") as error:
        export_source(str(folder), tmp_path / "a.onnx", ExportOptions())
    assert "\n" not in str(error.value)
