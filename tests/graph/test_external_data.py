"""Weights in a file of their own are the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime import InferenceSession

from quantkit.errors import OutputError
from quantkit.graph.artifact import open_model
from quantkit.graph.external_data import with_external_data
from tests.sensitivity.graphs import attention


def test_copy_runs_on_the_weights_in_the_file(tmp_path: Path) -> None:
    model, feed = attention()
    before = model.SerializeToString(deterministic=True)
    light = with_external_data(model, tmp_path / "weights")
    assert model.SerializeToString(deterministic=True) == before
    # Six matrices of at least 16 · 16 weights are gone.
    assert len(light.SerializeToString()) < len(before) / 2
    (tmp_path / "light.onnx").write_bytes(light.SerializeToString())
    (expected,) = InferenceSession(before).run(["log_probs"], feed)
    (found,) = InferenceSession(tmp_path / "light.onnx").run(["log_probs"], feed)
    np.testing.assert_array_equal(found, expected)


def test_small_constants_stay_where_shape_inference_reads_them(tmp_path: Path) -> None:
    light = with_external_data(attention()[0], tmp_path / "weights")
    inside = {t.name for t in light.graph.initializer if not t.external_data}
    assert {"axis", "zero", "gain"} <= inside
    onnx.shape_inference.infer_shapes(light)


def test_folder_that_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot put weights into .*missing"):
        with_external_data(attention()[0], tmp_path / "missing" / "weights")


def test_small_constants_of_files_with_external_data_are_read(tmp_path: Path) -> None:
    model, feed = attention()
    (expected,) = InferenceSession(model.SerializeToString()).run(["log_probs"], feed)
    source = tmp_path / "source"
    source.mkdir()
    del model.metadata_props[:]
    onnx.save(model, source / "m.onnx", save_as_external_data=True, size_threshold=0)
    light = with_external_data(open_model(source / "m.onnx"), tmp_path / "weights")
    (tmp_path / "light.onnx").write_bytes(light.SerializeToString())
    (found,) = InferenceSession(tmp_path / "light.onnx").run(["log_probs"], feed)
    np.testing.assert_array_equal(found, expected)
