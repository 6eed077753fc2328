"""Layers in branches of ``If`` and bodies of ``Loop`` are layers like others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import load_model, save_model
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import find_layers
from quantkit.planning.optimal import optimal_plan
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.equalize.channel_scaling import find_junctions
from quantkit.quantization.inspection import inspect_model
from quantkit.quantization.prepare import prepare
from quantkit.runtime.session import create_session
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from tests.control_flow import HIDDEN, INPUTS, STATE, looped, merged_decoder

MODELS = {
    "both branches": merged_decoder,
    "outer weights": lambda: merged_decoder(inside=False),
    "loop": looped,
}
BODY_LAYERS = {
    "both branches": ["layer/up", "layer/down", "layer/up.2", "layer/down.2"],
    "outer weights": ["layer/up", "layer/down", "layer/up.2", "layer/down.2"],
    "loop": ["state"],
}
CODECS = tuple(CodecChoice.parse(text) for text in ("bitplane:2", "bitplane:4", "int8"))


@pytest.fixture(params=MODELS)
def kind(request) -> str:
    return str(request.param)


@pytest.fixture
def source(kind: str, tmp_path: Path) -> Path:
    path = tmp_path / "float32.onnx"
    save_model(MODELS[kind](), path)
    return path


@pytest.fixture
def clips(kind: str) -> list[tuple[str, dict[str, np.ndarray]]]:
    random = np.random.default_rng(1)
    found = []
    for number, frames in enumerate((60, 21, 33, 40)):
        feed = {"features": random.standard_normal((1, frames, INPUTS)).astype(np.float32)}
        if kind != "loop":
            feed["use_cache"] = np.array(number % 2 == 0)
        found.append((f"clip{number}", feed))
    return found


def furthest(path: Path, source: Path, clips) -> float:
    one, other = create_session(path), create_session(source)
    return max(
        float(np.abs(one.run(["log_probs"], feed)[0] - other.run(["log_probs"], feed)[0]).max())
        for _, feed in clips
    )


def test_layers_in_bodies_are_found_with_names_of_their_own(kind) -> None:
    layers = find_layers(MODELS[kind]())
    names = [layer.name for layer in layers]
    assert names == ["enter", *BODY_LAYERS[kind], "leave"]
    assert [layer.index for layer in layers] == list(range(len(layers)))
    shapes = {layer.name: layer.shape for layer in layers}
    assert shapes[BODY_LAYERS[kind][0]] == ((STATE, STATE) if kind == "loop" else (HIDDEN, STATE))


@pytest.mark.parametrize(
    ("compute", "codec", "limit"),
    [
        ("float32", "grouped:6", 0.3),
        ("dynamic", "int8", 0.2),
        ("dynamic", "bitplane:6", 0.3),
        ("float32", "float16", 0.01),
    ],
)
def test_weights_in_bodies_are_stored_by_codecs(
    compute, codec, limit, kind, source, clips, tmp_path: Path
) -> None:
    settings = QuantizeSettings(compute=compute, codec=CodecChoice.parse(codec))
    result = quantize_model(source, tmp_path / "q.onnx", settings, clips)
    rows = {row.name: row for row in result.layers}
    for name in BODY_LAYERS[kind]:
        assert (rows[name].codec, rows[name].compute) == (settings.codec.name, compute)
    assert not result.lint.problems
    assert result.lint.folded
    kernels = {row.name: row.kernel for row in result.lint.rows}
    integer = "DynamicQuantizeMatMul"
    assert all((kernels[name] == integer) == (compute == "dynamic") for name in BODY_LAYERS[kind])
    assert 0 < furthest(tmp_path / "q.onnx", source, clips) < limit


@pytest.mark.parametrize("kind", ["both branches", "outer weights"], indirect=True)
def test_weight_of_both_branches_is_stored_once(kind, source, clips, tmp_path: Path) -> None:
    settings = QuantizeSettings(compute="float32", codec=CodecChoice.parse("int8"))
    quantize_model(source, tmp_path / "q.onnx", settings, clips)
    rows = {row.name: row for row in inspect_model(tmp_path / "q.onnx").layers}
    assert rows["layer/up"].bytes >= HIDDEN * STATE
    assert rows["layer/up.2"].bytes < HIDDEN
    model = load_model(tmp_path / "q.onnx")
    for node in model.graph.node:
        for attribute in node.attribute:
            assert not any(len(t.dims) == 2 for t in attribute.g.initializer)


def test_range_that_clips_cannot_show_is_found_at_run_time(
    kind, source, clips, tmp_path: Path
) -> None:
    result = quantize_model(source, tmp_path / "q.onnx", "static-int8", clips)
    rows = {row.name: row for row in result.layers}
    for name in BODY_LAYERS[kind]:
        assert (rows[name].compute, rows[name].codec) == ("dynamic", "int8")
        assert "clips show nothing" in rows[name].note
    assert rows["enter"].compute == rows["leave"].compute == "static"
    assert furthest(tmp_path / "q.onnx", source, clips) < 0.2


def test_from_analysis_to_a_file_of_the_size_that_was_planned(
    kind, source, clips, tmp_path: Path
) -> None:
    settings = AnalysisSettings(divergence=DivergenceSettings(candidates=CODECS, threads=1))
    table = analyze(source, clips, settings)
    for row in table.layers:
        divergences = [each.divergence for each in row.weights]
        assert divergences == sorted(divergences, reverse=True)
        assert divergences[-1] > 0
    budget = 6_650 if kind == "loop" else 11_800
    found = optimal_plan(source, budget, table, QuantizeSettings("dynamic", compute="dynamic"))
    assert {row.codec for row in found.plan.layers} == {"bitplane", "int8"}
    result = quantize_model(source, tmp_path / "q.onnx", found.plan, clips)
    assert result.size_bytes == found.plan.predicted_bytes <= budget
    assert with_sizes(source, found.plan, budget).predicted_bytes == result.size_bytes


def test_layers_with_one_weight_have_one_codec(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    save_model(merged_decoder(), path)
    settings = QuantizeSettings(compute="float32", codec=CODECS[1], exclude=("layer/up.2",))
    assigned = prepare(path, settings)
    assert assigned.choices["layer/up.2"].codec == assigned.choices["layer/up"].codec == CODECS[1]


def test_no_factors_move_through_what_a_body_reads() -> None:
    def junctions(read: bool) -> list[str]:
        model = merged_decoder(inside=False)
        graph = model.graph
        # Beside the branches, a layer that reads what they read; the sum is taken out.
        choose = next(node for node in graph.node if node.name == "choose")
        kept = [node for node in graph.node if node.name in ("enter", "posteriors")]
        leave = next(node for node in graph.node if node.name == "leave")
        leave.input[0] = "entered"
        nodes = [kept[0], *([choose] if read else []), leave, kept[1]]
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
        return [str(found.maker.name) for found in find_junctions(GraphEditor(model))]

    assert junctions(read=False) == ["enter"]
    assert junctions(read=True) == []
