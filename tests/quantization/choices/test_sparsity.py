"""Sparse storage: what pruning left, and only where it is smaller."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import load_model, save_model
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from tests.small_model import masked_convolutions


@pytest.fixture
def pruned(tmp_path: Path) -> Path:
    """Every layer but the first has lost its smallest 80 %."""
    model = masked_convolutions(width=4)
    for tensor in model.graph.initializer:
        if tensor.name.startswith("w") and tensor.name != "w1":
            weight = numpy_helper.to_array(tensor).copy()
            weight[np.abs(weight) < np.quantile(np.abs(weight), 0.8)] = 0
            tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    save_model(model, tmp_path / "pruned.onnx")
    return tmp_path / "pruned.onnx"


def test_what_pruning_left_is_kept_and_full_layers_are_stored_densely(
    pruned, clips, tmp_path
) -> None:
    settings = QuantizeSettings(compute="static", codec=CodecChoice.parse("sparse:4"))
    result = quantize_model(pruned, tmp_path / "q.onnx", settings, clips)
    assert [row.codec for row in result.layers] == ["bitplane", *["sparse"] * 5]
    assert "no smaller" in result.layers[0].note
    weights = {t.name: numpy_helper.to_array(t) for t in load_model(pruned).graph.initializer}
    for number, row in enumerate(result.layers[1:], 2):
        assert row.options == {"nonzeros": np.count_nonzero(weights[f"w{number}"])}


def test_sparse_file_is_smaller_and_as_close(pruned, clips, run, tmp_path) -> None:
    (reference,) = run(pruned, clips[:1])
    sizes, errors = [], []
    for codec in ("bitplane:4", "sparse:4"):
        settings = QuantizeSettings(compute="static", codec=CodecChoice.parse(codec))
        # Compensation would also move the pruned weights, which only a dense layer can store.
        nearest = PtqSettings(rounding="nearest")
        result = quantize_model(pruned, tmp_path / "q.onnx", settings, clips, fitting=nearest)
        sizes.append(sum(row.bytes for row in result.layers))
        errors.append(np.abs(run(result.path, clips[:1])[0] - reference).mean())
    assert sizes[1] < 0.75 * sizes[0]
    assert errors[1] < errors[0]
