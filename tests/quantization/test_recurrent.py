"""The weights of LSTM and GRU are layers: stored by any codec, planned to the byte, and run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import load_model, save_model
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import find_layers
from quantkit.graph.operators import layer_weights
from quantkit.planning.optimal import optimal_plan
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.inspection import inspect_model
from quantkit.runtime.session import create_session
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from tests.recurrent_model import GRU_HIDDEN, HIDDEN, recurrent_recogniser

NAMES = ["conv", "lstm.W", "lstm.R", "gru.W", "gru.R", "output"]
RECURRENT = NAMES[1:5]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "float32.onnx"
    save_model(recurrent_recogniser(), path)
    return path


def log_probs(path: Path, clips) -> list[np.ndarray]:
    session = create_session(path)
    return [session.run(["log_probs"], feed)[0] for _, feed in clips]


def furthest(path: Path, source: Path, clips) -> float:
    both = zip(log_probs(path, clips), log_probs(source, clips), strict=True)
    return max(float(np.abs(one - other).max()) for one, other in both)


def read_by(path: Path, node: str, position: int) -> np.ndarray:
    """What the node called ``node`` reads, as ONNX Runtime rebuilds it."""
    model = onnx.load(path)
    name = next(n.input[position] for n in model.graph.node if n.name == node)
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feed = {"features": np.zeros((1, 20, 40), np.float32), "lengths": np.array([20])}
    value: np.ndarray = session.run([name], feed)[0]
    return value


def test_each_weight_is_a_layer_with_a_name_of_its_own() -> None:
    layers = {layer.name: layer for layer in find_layers(recurrent_recogniser())}
    assert list(layers) == NAMES
    assert layers["lstm.R"].shape == (2, 4 * HIDDEN, HIDDEN)
    assert layers["lstm.R"].op == "LSTM"
    # The bias of both products is stored as one, and counted with the first.
    size = 3 * GRU_HIDDEN
    assert layers["gru.W"].parameters == size * 2 * HIDDEN + 2 * size
    assert layers["gru.R"].parameters == size * GRU_HIDDEN


@pytest.mark.parametrize("codec", ["bitplane:4", "grouped:3", "codebook:4", "int8", "native:4"])
def test_stored_weights_are_rebuilt_before_the_float_kernel(
    codec, source, clips, tmp_path: Path
) -> None:
    settings = QuantizeSettings(compute="float32", codec=CodecChoice.parse(codec))
    result = quantize_model(source, tmp_path / "q.onnx", settings)
    assert not result.lint.problems
    assert result.lint.folded
    original = load_model(source)
    for name, weight in layer_weights(GraphEditor(original)).items():
        if name not in RECURRENT:
            continue
        rebuilt = read_by(tmp_path / "q.onnx", name[:-2], weight.position)
        true = weight.array()
        assert rebuilt.shape == true.shape
        if codec != "grouped:3":
            # Its groups have tables of their own; of all others a row has so many values at most.
            levels = [len(np.unique(row)) for row in rebuilt.reshape(-1, rebuilt.shape[-1])]
            assert max(levels) <= 2**settings.codec.bits
        assert np.square(rebuilt - true).mean() < 0.05 * np.square(true).mean()


def test_inputs_of_both_weights_make_errors_smaller(source, clips, tmp_path: Path) -> None:
    settings = QuantizeSettings(compute="float32", codec=CodecChoice.parse("bitplane:3"))
    errors, rebuilt = {}, {}
    for rounding in ("nearest", "compensated"):
        path = tmp_path / f"{rounding}.onnx"
        quantize_model(source, path, settings, clips, fitting=PtqSettings(rounding=rounding))
        both = zip(log_probs(path, clips), log_probs(source, clips), strict=True)
        errors[rounding] = np.mean([np.square(one - other).mean() for one, other in both])
        rebuilt[rounding] = read_by(path, "lstm", 2)
    assert not np.array_equal(rebuilt["nearest"], rebuilt["compensated"])
    assert errors["compensated"] < 0.8 * errors["nearest"]


def test_presets_run_an_lstm_in_integers_and_a_gru_in_float(source, clips, tmp_path: Path) -> None:
    result = quantize_model(source, tmp_path / "q.onnx", "hybrid", clips)
    kernels = {row.name: row.kernel for row in result.lint.rows}
    assert kernels["lstm.W"] == kernels["lstm.R"] == "DynamicQuantizeLSTM"
    assert kernels["gru.W"] == kernels["gru.R"] == "GRU"
    rows = {row.name: row for row in result.layers}
    assert (rows["gru.R"].codec, rows["gru.R"].compute) == ("int8", "float32")
    assert "no integer kernel for GRU" in rows["gru.R"].note
    assert not result.lint.problems
    assert furthest(tmp_path / "q.onnx", source, clips) < 0.2


def test_range_is_over_the_batch_even_where_one_per_clip_was_asked_for(
    source, clips, tmp_path: Path
) -> None:
    result = quantize_model(source, tmp_path / "q.onnx", "dynamic-int8", clips)
    row = next(row for row in result.layers if row.name == "lstm.W")
    assert row.range == "dynamic per-batch"
    assert "one range for the whole batch" in row.note


def test_weights_of_one_node_are_computed_together(source, clips, tmp_path: Path) -> None:
    settings = QuantizeSettings(compute="dynamic", exclude=("lstm.R",))
    result = quantize_model(source, tmp_path / "q.onnx", settings, clips)
    rows = {row.name: row for row in result.layers}
    assert rows["lstm.W"].compute == rows["lstm.R"].compute == "float32"
    assert rows["lstm.W"].codec == "int8"
    assert "other weight" in rows["lstm.W"].note


def test_operator_picks_both_weights(source, clips, tmp_path: Path) -> None:
    settings = QuantizeSettings(compute="dynamic", exclude=("LSTM", "gru.*"))
    result = quantize_model(source, tmp_path / "q.onnx", settings, clips)
    untouched = [row.name for row in result.layers if row.codec == "float32"]
    assert untouched == RECURRENT


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("optional", ["states", "lengths", "peepholes"])
def test_optional_inputs_and_other_directions_stay(
    direction, optional, source, clips, tmp_path: Path
) -> None:
    model = recurrent_recogniser()
    node = next(n for n in model.graph.node if n.name == "lstm")
    tensors = {t.name: t for t in model.graph.initializer}
    for name in ("lstm.w", "lstm.r", "lstm.b"):
        values = onnx.numpy_helper.to_array(tensors[name])[:1]
        tensors[name].CopyFrom(onnx.numpy_helper.from_array(values, name))
    rows = onnx.numpy_helper.from_array(np.array([0, 0, HIDDEN]), "rows")
    tensors["rows"].CopyFrom(rows)
    gru = onnx.numpy_helper.to_array(tensors["gru.w"])[..., :HIDDEN]
    tensors["gru.w"].CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(gru), "gru.w"))
    for attribute in node.attribute:
        if attribute.name == "direction":
            attribute.s = direction.encode()
    state = np.full((1, 1, HIDDEN), 0.3, np.float32)
    peephole = np.full((1, 3 * HIDDEN), 0.2, np.float32)
    given = {
        "states": {5: state, 6: state},
        "lengths": {4: np.array([9], np.int32)},
        "peepholes": {7: peephole},
    }[optional]
    node.input.extend([""] * (1 + max(given) - len(node.input)))
    for position, value in given.items():
        node.input[position] = f"given{position}"
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, f"given{position}"))
    save_model(model, source)
    settings = QuantizeSettings(compute="dynamic")
    result = quantize_model(source, tmp_path / "q.onnx", settings, clips)
    assert {row.name: row.kernel for row in result.lint.rows}["lstm.R"] == "DynamicQuantizeLSTM"
    assert furthest(tmp_path / "q.onnx", source, clips) < 0.2


def test_layout_that_onnxruntime_does_not_run_stays_plain() -> None:
    model = recurrent_recogniser()
    for node in model.graph.node:
        if node.name == "lstm":
            node.attribute.append(onnx.helper.make_attribute("layout", 1))
    weight = layer_weights(GraphEditor(model))["lstm.W"]
    assert "layout 1" in weight.operator.reason_to_stay_plain(weight.editor, weight.node)
    assert weight.geometry() is None


@pytest.mark.slow
def test_from_analysis_to_a_file_of_the_size_that_was_planned(
    source, clips, tmp_path: Path
) -> None:
    codecs = tuple(CodecChoice.parse(text) for text in ("bitplane:2", "bitplane:4", "int8"))
    settings = AnalysisSettings(divergence=DivergenceSettings(candidates=codecs, threads=1))
    table = analyze(source, clips, settings)
    for row in table.layers:
        assert [each.codec for each in row.weights] == list(codecs)
        divergences = [each.divergence for each in row.weights]
        assert divergences == sorted(divergences, reverse=True)
        assert divergences[-1] > 0
        assert row.metrics["sqnr"] > 5
    options = QuantizeSettings("hybrid", operators={"LSTM": "dynamic", "MatMul": "dynamic"})
    found = optimal_plan(source, 40_000, table, options)
    result = quantize_model(source, tmp_path / "q.onnx", found.plan, clips)
    assert result.size_bytes == found.plan.predicted_bytes <= 40_000
    assert with_sizes(source, found.plan, 40_000).predicted_bytes == result.size_bytes
    inspected = {row.name: row for row in inspect_model(tmp_path / "q.onnx", runtime=True).layers}
    assert list(inspected) == NAMES
    assert inspected["lstm.R"].kernel == "DynamicQuantizeLSTM"
    assert inspected["lstm.R"].op == "LSTM"
    stored = {row.name: row.bytes for row in found.plan.layers}
    assert {name: row.bytes for name, row in inspected.items()} == stored
