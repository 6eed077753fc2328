"""A weight that an embedding and an output layer share lies in the file once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.codecs.catalogue import FLOAT32, INT8, CodecChoice
from quantkit.errors import FormatError
from quantkit.graph.layers import find_layers
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.settings import FLOAT_LAYER, LayerChoice, LayerRule
from quantkit.quantization.storage import stored_layers
from quantkit.quantization.tied_weights import (
    agree,
    merge_transposes,
    separate_transposes,
    share_moments,
    shared_weights,
)
from quantkit.runtime.session import create_session
from tests.small_graphs import language_model

WORDS, WIDTH = 300, 40
IDS = np.random.default_rng(1).integers(0, WORDS, (2, 7))
FORMS = ["transpose", "copy", "gemm"]


def written(form: str, folder: Path) -> Path:
    path = folder / f"{form}.onnx"
    onnx.save(language_model(form), path)
    return path


def scores(path: Path) -> np.ndarray:
    (result,) = create_session(path).run(None, {"ids": IDS})
    return result.reshape(-1, WORDS)


def settings_of(compute: str, codec: str = "", **others: Any) -> QuantizeSettings:
    choice = CodecChoice.parse(codec) if codec else None
    return QuantizeSettings(compute=compute, codec=choice, **others)


SETTINGS = {
    "float16": settings_of("float32", "float16"),
    "weights only": settings_of("float32", "bitplane:5"),
    "dynamic": settings_of("dynamic"),
    "dynamic, packed": settings_of("dynamic", "bitplane:6"),
    "dynamic, native": settings_of("dynamic", "native:4"),
    "static": settings_of("static"),
    "static, grouped": settings_of("static", "grouped:4"),
    "static, codebook": settings_of("static", "codebook:5"),
    "static, ternary": settings_of("static", "ternary"),
    "blocks": settings_of("matmul-nbits"),
    "blocks, 8 bits": settings_of("matmul-nbits", "blocks:8,block_size=16"),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", SETTINGS)
def test_shared_weight_is_stored_once(form, case, tmp_path) -> None:
    feeds = [("x", {"ids": IDS})]
    sizes, heads = {}, {}
    for each in (form, "untied"):
        source = written(each, tmp_path)
        plan = with_sizes(source, SETTINGS[case])
        result = quantize_model(source, tmp_path / "q.onnx", plan, feeds)
        assert result.size_bytes == plan.predicted_bytes
        rows = {row.name: row.bytes for row in stored_layers(onnx.load(result.path))}
        assert rows == {row.name: row.bytes for row in plan.layers}
        assert list(rows) == ["embedding", "hidden.up", "hidden.down", "head"]
        assert all(row.folded and not row.remark for row in result.lint.rows)
        sizes[each], heads[each] = result.size_bytes, rows["head"]
    # Scales (4 bytes a word) and a grid of the input may be the output layer's own.
    assert heads[form] <= 4 * WORDS + 8
    assert sizes["untied"] - sizes[form] > 0.75 * heads["untied"]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", SETTINGS)
def test_sharing_changes_no_result(form, case, tmp_path, monkeypatch) -> None:
    """As if the output layer had a weight of its own with the same levels."""
    source, feeds = written(form, tmp_path), [("x", {"ids": IDS})]
    shared = quantize_model(source, tmp_path / "shared.onnx", SETTINGS[case], feeds)
    monkeypatch.setattr("quantkit.quantization.rewrite.merge_transposes", lambda *_: None)
    apart = quantize_model(source, tmp_path / "apart.onnx", SETTINGS[case], feeds)
    np.testing.assert_array_equal(scores(shared.path), scores(apart.path))
    correlation = np.corrcoef(scores(shared.path).ravel(), scores(source).ravel())[0, 1]
    assert correlation > (0.6 if "ternary" in case else 0.9)


@pytest.mark.parametrize("form", FORMS)
def test_weight_that_stays_float_is_stored_once_too(form, tmp_path) -> None:
    source = written(form, tmp_path)
    settings = settings_of("dynamic", exclude=("embedding", "head"))
    result = quantize_model(source, tmp_path / "q.onnx", settings)
    rows = {row.name: row.bytes for row in stored_layers(onnx.load(result.path))}
    assert (rows["embedding"], rows["head"]) == (4 * WORDS * WIDTH, 0)


@pytest.mark.parametrize("form", FORMS)
def test_excluded_output_layer_follows_the_integers_of_its_embedding(form, tmp_path) -> None:
    source = written(form, tmp_path)
    result = quantize_model(source, tmp_path / "q.onnx", settings_of("dynamic", exclude=("head",)))
    head = result.layers[-1]
    assert (head.compute, head.codec) == ("float32", "int8")
    assert head.note == "it shares its weight with layer embedding; both must have codec int8"


def test_plan_whose_layers_disagree_is_refused(tmp_path) -> None:
    source = written("transpose", tmp_path)
    plan = with_sizes(source, settings_of("dynamic"))
    other = replace(plan.layers[-1], codec="bitplane", bits=4)
    plan = replace(plan, layers=(*plan.layers[:-1], other))
    with pytest.raises(
        FormatError, match=r"layer head cannot .* shares its weight with layer embedding; both"
    ):
        quantize_model(source, tmp_path / "q.onnx", plan)


def test_blocks_of_the_output_layer_serve_the_embedding(tmp_path) -> None:
    source = written("copy", tmp_path)
    rules = (LayerRule("head", compute="matmul-nbits"),)
    result = quantize_model(source, tmp_path / "q.onnx", settings_of("dynamic", rules=rules))
    assert [row.compute for row in result.layers] == [
        "matmul-nbits",
        "dynamic",
        "dynamic",
        "matmul-nbits",
    ]
    assert "compute matmul-nbits" in result.layers[0].note
    assert [row.kernel for row in result.lint.rows] == [
        "GatherBlockQuantized",
        "DynamicQuantizeMatMul",
        "DynamicQuantizeMatMul",
        "MatMulNBits",
    ]


@pytest.mark.parametrize("form", [*FORMS, "untied"])
def test_shared_weights_are_found(form) -> None:
    model = language_model(form)
    separate_transposes(model)
    groups = shared_weights(model, find_layers(model))
    assert list(groups) == ([] if form == "untied" else [("embedding", "head")])


def test_square_matrix_and_its_transpose_have_different_channels(tmp_path) -> None:
    """One scale per output channel cannot serve both, so they are two weights."""
    square = np.random.default_rng(2).standard_normal((40, 40)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], "encode"),
            helper.make_node("Gemm", ["h", "w"], ["y"], "decode", transB=1),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 40])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(square, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    assert shared_weights(model, find_layers(model)) == []
    onnx.save(model, tmp_path / "f.onnx")
    x = np.random.default_rng(3).standard_normal((5, 40)).astype(np.float32)
    result = quantize_model(tmp_path / "f.onnx", tmp_path / "q.onnx", "int8")
    (expected,) = create_session(tmp_path / "f.onnx").run(None, {"x": x})
    (found,) = create_session(result.path).run(None, {"x": x})
    assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()


def test_transposes_are_separated_and_merged_again() -> None:
    model = language_model("transpose")
    before = model.ByteSize()
    separate_transposes(model)
    assert "Transpose" not in {node.op_type for node in model.graph.node}
    merge_transposes(model)
    assert "Transpose" in {node.op_type for node in model.graph.node}
    assert {t.name for t in model.graph.initializer} == {"table", "w1", "w2"}
    assert abs(model.ByteSize() - before) < 100


def test_integers_win_over_floats_and_blocks_over_both() -> None:
    int8 = LayerChoice("float32", INT8)
    blocks = LayerChoice("matmul-nbits", CodecChoice("blocks", 4))
    assert agree({"a": FLOAT_LAYER, "b": int8}, [("a", "b")])[0]["a"].codec == INT8
    half = LayerChoice("float32", CodecChoice("float16", 16))
    assert agree({"a": half, "b": int8}, [("a", "b")])[0]["a"].codec == INT8
    assert agree({"a": int8, "b": blocks}, [("a", "b")])[0] == {"a": blocks, "b": blocks}
    alone = {"a": FLOAT_LAYER, "b": int8}
    assert agree(alone, []) == (alone, {})
    assert FLOAT_LAYER.codec == FLOAT32


def test_what_one_layer_meets_counts_for_the_other() -> None:
    met = np.ones(4, np.float32)
    shared = share_moments({"head": met, "hidden": 2 * met}, [("embedding", "head")])
    assert shared["embedding"] is met
    assert set(shared) == {"embedding", "head", "hidden"}
