"""A vocabulary in tiers, from its use in the audio to the finished file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import open_model
from quantkit.graph.layers import find_layers
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.settings import LayerRule
from quantkit.quantization.choices.tiers import resolve_tiers
from quantkit.quantization.storage import stored_layers
from quantkit.runtime.session import create_session
from tests.small_graphs import language_model

WORDS = 5000
TIERED = CodecChoice.parse("tiered:2,tiers=100x8+400x4")
FORMS = ["transpose", "copy", "gemm"]
#: Tokens that are read; few, as in a few minutes of one language.
READ = np.random.default_rng(1).integers(3000, 3020, (4, 60))


def settings(codec: CodecChoice) -> QuantizeSettings:
    usual = QuantizeSettings(compute="dynamic")
    rules = (LayerRule("embedding", codec=codec), LayerRule("head", codec=codec))
    return replace(usual, rules=rules)


def written(form: str, folder: Path) -> Path:
    path = folder / f"{form}.onnx"
    onnx.save(language_model(form, WORDS), path)
    return path


def embedded(path: Path, ids: np.ndarray) -> np.ndarray:
    """Rows of the embedding, as the finished file looks them up."""
    model = onnx.load(path)
    value = next(node.output[0] for node in model.graph.node if "scaled_rows" in node.name)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(value))
    shown = path.with_name("shown.onnx")
    onnx.save(model, shown)
    return create_session(shown).run([value], {"ids": ids})[0]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_size_is_known_beforehand_and_the_weight_is_stored_once(form, tmp_path) -> None:
    source = written(form, tmp_path)
    plan = with_sizes(source, settings(TIERED))
    result = quantize_model(source, tmp_path / "q.onnx", plan, [("x", {"ids": READ})])
    assert result.size_bytes == plan.predicted_bytes
    rows = {row.name: row.bytes for row in stored_layers(onnx.load(result.path))}
    assert rows == {row.name: row.bytes for row in plan.layers}
    assert rows["head"] <= 4 * WORDS + 8
    assert all(row.folded and not row.remark for row in result.lint.rows)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_rows_that_are_read_have_the_most_bits(form, tmp_path) -> None:
    source = written(form, tmp_path)
    path = quantize_model(
        source, tmp_path / "q.onnx", settings(TIERED), [("x", {"ids": READ})]
    ).path
    table = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(source).graph.initializer}

    def error(ids: np.ndarray) -> float:
        rows = table["table"][ids]
        return float(((embedded(path, ids) - rows) ** 2).sum() / (rows**2).sum())

    # Twenty rows were read a dozen times each; others have 2 bits, some of them 4.
    assert error(np.unique(READ)[None]) < 2e-4
    assert error(np.arange(100)[None]) > 1e-2


@pytest.mark.slow
def test_a_weight_that_two_layers_share_serves_both(tmp_path) -> None:
    """Tiers keep both the tokens that are read and the labels that are likely."""
    source = written("copy", tmp_path)
    expected = create_session(source).run(None, {"ids": READ})[0]
    errors = {}
    for codec in (TIERED, CodecChoice.parse("grouped:2")):
        path = tmp_path / "q.onnx"
        quantize_model(source, path, settings(codec), [("x", {"ids": READ})])
        found = create_session(path).run(None, {"ids": READ})[0]
        likely = np.argsort(-expected, axis=-1)[..., :5]
        difference = np.take_along_axis(found - expected, likely, axis=-1)
        errors[codec.name] = float((difference**2).mean())
    assert errors["tiered"] < 0.3 * errors["grouped"]


def test_a_layer_with_too_few_channels_gets_the_bits_of_the_rest(tmp_path) -> None:
    model = open_model(written("copy", tmp_path))
    layers = find_layers(model)
    usual = QuantizeSettings(compute="dynamic", codec=TIERED).assign(layers)
    choices, notes = resolve_tiers(model, layers, usual)
    assert {name: str(choice.codec) for name, choice in choices.items()} == {
        "embedding": str(TIERED),
        "hidden.up": "grouped:2",
        "hidden.down": "grouped:2",
        "head": str(TIERED),
    }
    assert notes.keys() == {"hidden.up", "hidden.down"}
    assert "64 output channels" in notes["hidden.up"]


@pytest.mark.parametrize(("bits", "rest"), [(6, "grouped:6"), (7, "bitplane:7"), (8, "int8")])
def test_the_rest_has_a_codec_for_any_bits(bits, rest, tmp_path) -> None:
    model = open_model(written("copy", tmp_path))
    layers = find_layers(model)
    codec = CodecChoice.parse(f"tiered:{bits},tiers=9999x8")
    asked = QuantizeSettings(compute="dynamic", codec=codec).assign(layers)
    choices, _ = resolve_tiers(model, layers, asked)
    assert {str(choice.codec) for choice in choices.values()} == {rest}
