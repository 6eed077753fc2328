"""Outliers that nothing linear makes get factors in a multiplication of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import FormatError
from quantkit.graph.artifact import read_info
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import find_layers
from quantkit.graph.plan import Plan
from quantkit.personalization.outliers import with_balance
from quantkit.planning.size import with_sizes
from quantkit.planning.size_model import SizeModel
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.equalize.balancing import (
    balances,
    balancing_factors,
    insert_balances,
    make_unlike,
    unbalanced,
)
from quantkit.quantization.equalize.channel_scaling import Magnitudes
from quantkit.quantization.prepare import prepare
from quantkit.runtime.session import create_session
from tests.small_graphs import Graph, run, values_of

INNER, OUTER = 64, 16
#: Channels behind the nonlinearity that tower over the others.
TOWERS = (5, 40)
RANDOM = np.random.default_rng(8)
X = RANDOM.standard_normal((2, 50, OUTER)).astype(np.float32)
CLIPS = [(f"clip {i}", {"x": RANDOM.standard_normal((1, 60, OUTER), np.float32)}) for i in "ab"]
DYNAMIC = QuantizeSettings(compute="dynamic")


def feed_forward(towers: tuple[int, ...] = TOWERS) -> onnx.ModelProto:
    """``x → first → Sigmoid · itself → second``, as in a Conformer: nothing linear in between."""
    graph = Graph(seed=3)
    graph.weight("first.w", OUTER, INNER)
    graph.constants["first.w"][:, list(towers)] *= 40
    graph.weight("second.w", INNER, OUTER)
    graph.constants["second.w"][list(towers)] /= 8
    graph.add("MatMul", ["x", "first.w"], "first")
    graph.add("Sigmoid", ["first"], "gate")
    graph.add("Mul", ["first", "gate"], "swish")
    graph.add("MatMul", ["swish", "second.w"], "second")
    return graph.model("second", channels=OUTER)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "float32.onnx"
    onnx.save(feed_forward(), path)
    return path


def feeds(source: Path) -> CalibrationData:
    return CalibrationData.of(CLIPS, read_info(source), source)


def test_layers_whose_factors_have_nowhere_else_to_go_are_found() -> None:
    model = feed_forward()
    assert list(unbalanced(model, find_layers(model))) == ["first", "second"]


def test_only_layers_with_outliers_are_worth_it(source: Path, tmp_path: Path) -> None:
    assert with_balance(source, feeds(source), DYNAMIC, PtqSettings()).balance == ("second",)
    onnx.save(feed_forward(()), even := tmp_path / "even.onnx")
    assert with_balance(even, feeds(even), DYNAMIC, PtqSettings()).balance == ()
    # Kernels without a grid for their input have nothing to gain.
    floating = QuantizeSettings(compute="float32")
    assert with_balance(source, feeds(source), floating, PtqSettings()).balance == ()
    named = PtqSettings(balance=("first",))
    assert with_balance(source, feeds(source), DYNAMIC, named) is named


def test_factors_bring_down_the_towers_alone() -> None:
    maxima = np.ones(INNER, np.float32)
    maxima[list(TOWERS)] = 50
    weight = RANDOM.standard_normal((INNER, OUTER)).astype(np.float32)
    weight[list(TOWERS)] *= 0.05
    found = balancing_factors(Magnitudes(maxima, 0.3 * maxima), weight)
    brought_down = np.flatnonzero(found.values > 1.0)
    assert brought_down.tolist() == list(TOWERS)
    assert found.left < 0.2


def test_factors_that_would_ruin_the_weights_are_not_taken() -> None:
    maxima = np.ones(INNER, np.float32)
    maxima[0] = 2
    weight = np.full((INNER, OUTER), 1e-3, np.float32)
    weight[0] = 100.0
    assert (balancing_factors(Magnitudes(maxima, maxima), weight).values == 1.0).all()
    silent = np.zeros(INNER, np.float32)
    assert balancing_factors(Magnitudes(silent, silent), weight).left == 1.0


def test_the_function_stays_the_same() -> None:
    model = feed_forward()
    expected = run(model, X)
    insert_balances(model, ("second",))
    np.testing.assert_array_equal(run(model, X), expected)
    make_unlike(model)
    np.testing.assert_allclose(run(model, X), expected, rtol=1e-4, atol=1e-4)
    (place,) = balances(GraphEditor(model))
    assert len(set(values_of(model)[place.divided[0][0]])) == INNER


@pytest.mark.parametrize("compute", ["dynamic", "static"])
def test_int8_products_are_more_exact(source: Path, tmp_path: Path, compute) -> None:
    heard = CLIPS[0][1]["x"]
    expected = run(feed_forward(), heard)

    def error(fitting: PtqSettings) -> float:
        settings = QuantizeSettings(compute=compute, exclude=("first",))
        made = quantize_model(source, tmp_path / "q.onnx", settings, CLIPS, fitting=fitting)
        assert made.conditioned == (("balanced 1 input",) if fitting.balance else ())
        (found,) = create_session(made.path).run(None, {"x": heard})
        return float(np.square(found - expected).mean())

    assert error(PtqSettings(balance=("second",))) < 0.2 * error(PtqSettings())


def test_a_plan_is_followed_without_audio_too(source: Path, tmp_path: Path) -> None:
    settings = replace(DYNAMIC, codec=CodecChoice.parse("int8"))
    plan = with_sizes(source, settings, fitting=PtqSettings(balance=("second",)))
    assert Plan.from_json(plan.to_json()).fitting["balance"] == ["second"]
    made = quantize_model(source, tmp_path / "q.onnx", plan)
    (found,) = create_session(made.path).run(None, {"x": X})
    expected = run(feed_forward(), X)
    assert np.square(found - expected).sum() < 0.05 * np.square(expected).sum()


def test_the_foreseen_size_is_that_on_disk(source: Path, tmp_path: Path) -> None:
    off = []
    for fitting in (PtqSettings(), PtqSettings(balance=("first", "second"))):
        plan = with_sizes(source, DYNAMIC, fitting=fitting)
        made = quantize_model(source, tmp_path / "q.onnx", plan, CLIPS)
        assert made.size_bytes == plan.predicted_bytes
        prepared = prepare(source, DYNAMIC, fitting)
        sizes = SizeModel(source, DYNAMIC, prepared)
        off.append(made.size_bytes - sizes.total(prepared.choices))
    assert abs(off[1] - off[0]) < 50


def test_what_others_call_a_balance_is_none_of_ours() -> None:
    graph = Graph()
    factors = graph.constant("factors", np.ones(OUTER, np.float32))
    graph.nodes.append(onnx.helper.make_node("Mul", ["x", factors], ["scaled"], "block/balance"))
    graph.add("MatMul", ["scaled", graph.weight("w", OUTER, OUTER)], "first")
    graph.add("Add", ["first", "scaled"], "sum")
    model = graph.model("sum", channels=OUTER)
    before = model.SerializeToString()
    make_unlike(model)
    assert model.SerializeToString() == before


def test_a_plan_that_names_no_such_layer_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="layer third cannot be balanced"):
        prepare(source, DYNAMIC, PtqSettings(balance=("third",)))
