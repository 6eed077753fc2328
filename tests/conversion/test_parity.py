"""A converted graph is used only where it gives the numbers of its file."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from quantkit.conversion.convert import Conversion, convert
from quantkit.conversion.parity import check_conversion, difference
from quantkit.errors import ParityError
from quantkit.graph.artifact import load_model, open_model
from quantkit.graph.editor import GraphEditor
from quantkit.quantization.pipeline import quantize_model
from quantkit.quantization.prepared import PreparedModel
from tests.exporting.foreign_forms import narrowed, plain


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.onnx"
    onnx.save(plain(11), path)
    return path


def test_a_file_of_any_age_can_be_prepared(old: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepared = PreparedModel(old)
    assert GraphEditor(prepared.original).opset == 18
    assert "old.onnx: opset 11 is converted to 18 (1 of its nodes are written anew)" in caplog.text


def test_and_quantized_with_inputs_and_outputs_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    onnx.save(narrowed(plain(), TensorProto.FLOAT16), path)
    quantize_model(path, tmp_path / "q.onnx", "dynamic-int8")
    made = load_model(tmp_path / "q.onnx").graph
    assert [v.name for v in (*made.input, *made.output)] == ["audio", "logits"]
    kinds = {v.type.tensor_type.elem_type for v in (*made.input, *made.output)}
    assert kinds == {TensorProto.FLOAT16}


def test_a_difference_is_refused(old: Path) -> None:
    model = open_model(old)
    conversion = convert(model, old)
    next(n for n in model.graph.node if n.name == "relu1").op_type = "Abs"
    reason = "opset 11 is converted to 18 .* and the result differs from the original by"
    with pytest.raises(ParityError, match=reason):
        check_conversion(old, model, conversion)


def test_where_the_original_does_not_run_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "brain.onnx"
    onnx.save(narrowed(plain(), TensorProto.BFLOAT16), path)
    model = open_model(path)
    check_conversion(path, model, convert(model, path))
    assert "the original does not run, so nothing was compared" in caplog.text


def test_a_graph_that_needed_nothing_is_not_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    check_conversion(tmp_path / "none.onnx", plain(), Conversion())
    assert not caplog.text


@pytest.mark.parametrize(
    ("expected", "found", "apart"),
    [
        ([1.0, -10.0], [1.0, -11.0], 0.1),
        ([np.nan, np.inf], [np.nan, np.inf], 0.0),
        ([np.nan], [0.0], np.inf),
        ([1.0], [np.inf], np.inf),
        ([1.0], [1.0, 2.0], np.inf),
        ([], [], 0.0),
    ],
)
def test_difference(expected: list[float], found: list[float], apart: float) -> None:
    assert difference(np.array(expected), np.array(found)) == pytest.approx(apart)
