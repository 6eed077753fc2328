"""Models of every age, width and form are adopted whole, or refused for what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError, ModelError, NothingQuantized
from quantkit.exporting.adopt import adopt
from quantkit.graph.artifact import load_model
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import find_layers
from quantkit.planning.size import with_sizes
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.pipeline import quantize_model
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.session import create_session
from tests.exporting.foreign_forms import (
    LABELS,
    half_inside,
    narrowed,
    optimised,
    plain,
    with_branches,
    with_function,
)

LEVELS = onnxruntime.GraphOptimizationLevel
PACKED = QuantizeSettings("packed", compute="dynamic", codec=CodecChoice.parse("grouped:3"))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join("|" if label == " " else label for label in LABELS) + "\n")
    return path


KINDS: dict[str, tuple[Callable[[Path], onnx.ModelProto], int, str]] = {
    **{
        f"opset {opset}": (
            lambda _, opset=opset: plain(opset),  # type: ignore[misc]
            3,
            f"opset {opset} is converted to 18" if opset < 18 else "",
        )
        for opset in (7, 9, 11, 12, 13, 14, 15, 16, 17, 19, 21, 23)
    },
    "float16 inside": (lambda _: half_inside(), 3, "float16 is widened to float32"),
    "float16": (lambda _: narrowed(plain(), TensorProto.FLOAT16), 3, "float16 is widened"),
    "bfloat16": (lambda _: narrowed(plain(), TensorProto.BFLOAT16), 3, "bfloat16 is widened"),
    "function": (lambda _: with_function(), 3, "a function is inlined (Block)"),
    "branches": (lambda _: with_branches(), 5, ""),
    "saved, extended": (
        lambda path: optimised(path, LEVELS.ORT_ENABLE_EXTENDED),
        3,
        "fused operators are taken apart (2 FusedConv, 1 FusedMatMul)",
    ),
    "saved, all": (
        lambda path: optimised(path, LEVELS.ORT_ENABLE_ALL),
        3,
        "fused operators are taken apart (2 FusedConv, 1 FusedMatMul)",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_adopted_and_packed(kind: str, labels: Path, tmp_path: Path) -> None:
    make, layers, note = KINDS[kind]
    theirs, ours = tmp_path / "theirs.onnx", tmp_path / "ours.onnx"
    theirs.write_bytes(make(tmp_path / "saved.onnx").SerializeToString())
    report = adopt(theirs, ours, labels, "ctc")
    assert report.worst.difference < (1e-4 if "float16" not in kind else 2e-2)
    assert note in "; ".join(report.notes)
    assert bool(note) == bool(report.notes)
    model = load_model(ours)
    assert GraphEditor(model).opset >= 18
    assert len(find_layers(model)) == layers
    made = quantize_model(ours, tmp_path / "packed.onnx", PACKED)
    assert {row.codec for row in made.layers} == {"grouped"}
    assert made.lint.rows[-1].status == "int8"


def test_what_takes_16_bits_takes_them_when_quantized(labels: Path, tmp_path: Path) -> None:
    theirs, ours, made = (tmp_path / f"{name}.onnx" for name in ("theirs", "ours", "made"))
    onnx.save(narrowed(plain(), TensorProto.FLOAT16), theirs)
    adopt(theirs, ours, labels, "ctc")
    quantize_model(ours, made, "dynamic-int8")
    clip = np.random.default_rng(0).standard_normal((1, 4000)).astype(np.float32)
    alone = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
    (theirs_input,) = alone.get_inputs()
    assert theirs_input.type == "tensor(float16)"
    (scores,) = alone.run(None, {theirs_input.name: clip.astype(np.float16)})
    feed = {"waveform": clip, "lengths": np.array([4000])}
    (log_probs,) = create_session(made).run(["log_probs"], feed)
    assert log_probs.dtype == np.float32
    assert (log_probs.argmax(-1) == scores.argmax(-1)).mean() > 0.99


def test_what_takes_bfloat16_takes_float32_when_quantized(labels: Path, tmp_path: Path) -> None:
    """No program can hand bfloat16 to ONNX Runtime."""
    onnx.save(narrowed(plain(), TensorProto.BFLOAT16), tmp_path / "theirs.onnx")
    adopt(tmp_path / "theirs.onnx", tmp_path / "ours.onnx", labels, "ctc")
    quantize_model(tmp_path / "ours.onnx", tmp_path / "made.onnx", "dynamic-int8")
    feed = {"waveform": np.zeros((1, 4000), np.float32), "lengths": np.array([4000])}
    (log_probs,) = create_session(tmp_path / "made.onnx").run(["log_probs"], feed)
    assert np.isfinite(log_probs).all()


def test_a_branch_that_reads_a_turned_weight_is_right(labels: Path, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs.onnx", tmp_path / "ours.onnx"
    theirs.write_bytes(with_branches().SerializeToString())
    adopt(theirs, ours, labels, "ctc")
    prepared = PreparedModel(ours, keep_interface=False)
    quantize_model(prepared, tmp_path / "q.onnx", "dynamic-int8")
    clip = np.random.default_rng(0).standard_normal((1, 4000)).astype(np.float32)
    feed = {"waveform": clip, "lengths": np.array([4000])}
    providers = ["CPUExecutionProvider"]
    before, after = (
        onnxruntime.InferenceSession(path, providers=providers).run(["log_probs"], feed)[0]
        for path in (ours, tmp_path / "q.onnx")
    )
    assert (before.argmax(-1) == after.argmax(-1)).mean() > 0.95


def test_silence_may_be_no_number_for_both(labels: Path, tmp_path: Path) -> None:
    model = plain()
    axis = numpy_helper.from_array(np.array([1]), "over")
    model.graph.initializer.append(axis)
    scaled = [
        helper.make_node("ReduceL2", ["audio", "over"], ["size"], "size"),
        helper.make_node("Div", ["audio", "size"], ["scaled"], "scale"),
    ]
    model.graph.node[0].input[0] = "scaled"
    nodes = [*scaled, *model.graph.node]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    onnx.save(model, tmp_path / "theirs.onnx")
    report = adopt(tmp_path / "theirs.onnx", tmp_path / "ours.onnx", labels, "ctc")
    assert any("silence" in case.where for case in report.cases)


def test_links_as_the_cache_of_a_hub_has_them(labels: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0123"
    for folder in (blobs, snapshot):
        folder.mkdir(parents=True)
    onnx.save(
        plain(),
        tmp_path / "model.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="model.onnx_data",
        size_threshold=256,
    )
    for number, name in enumerate(("model.onnx", "model.onnx_data")):
        (tmp_path / name).rename(blobs / f"{number:064x}")
        (snapshot / name).symlink_to(os.path.relpath(blobs / f"{number:064x}", snapshot))
    report = adopt(snapshot / "model.onnx", tmp_path / "ours.onnx", labels, "ctc")
    assert report.worst.difference < 1e-4
    with pytest.raises(InputError, match="itself read by this command"):
        adopt(snapshot / "model.onnx", blobs / f"{1:064x}", labels, "ctc")


def test_weights_in_a_file_each(labels: Path, tmp_path: Path) -> None:
    onnx.save(
        plain(11),
        tmp_path / "theirs.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=False,
        size_threshold=0,
    )
    assert len(list(tmp_path.iterdir())) > 4
    adopt(tmp_path / "theirs.onnx", tmp_path / "ours.onnx", labels, "ctc")
    assert len(find_layers(load_model(tmp_path / "ours.onnx"))) == 3


def test_weights_that_are_no_numbers_are_said(labels: Path, tmp_path: Path) -> None:
    model = plain()
    broken = numpy_helper.to_array(model.graph.initializer[2]).copy()
    broken[0, 0, :2] = np.nan, np.inf
    model.graph.initializer[2].CopyFrom(numpy_helper.from_array(broken, "w2"))
    onnx.save(model, tmp_path / "theirs.onnx")
    reason = r"layer conv2 has weights that are no finite numbers \(2 of 1,280\)"
    with pytest.raises(ModelError, match=reason):
        adopt(tmp_path / "theirs.onnx", tmp_path / "ours.onnx", labels, "ctc")


def strange() -> onnx.ModelProto:
    """All weights in an operator that is not understood."""
    model = plain()
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    for node in model.graph.node:
        if node.op_type == "Conv":
            node.op_type, node.domain = "FusedConv", "com.microsoft"
            node.attribute.append(helper.make_attribute("activation", "Swish"))
        elif node.op_type == "MatMul":
            node.op_type = "Einsum"
            node.attribute.append(helper.make_attribute("equation", "bth,hl->blt"))
    return model


def test_where_nothing_is_quantized_the_holders_of_weights_are_named(tmp_path: Path) -> None:
    onnx.save(strange(), tmp_path / "theirs.onnx")
    reason = (
        r"nothing is quantized: .*theirs\.onnx has no layer, .*; operators that cannot be "
        r"quantized hold weights: com\.microsoft:FusedConv \(1,680\)"
    )
    with pytest.raises(NothingQuantized, match=reason) as raised:
        quantize_model(tmp_path / "theirs.onnx", tmp_path / "q.onnx", "dynamic-int8")
    assert raised.value.exit_code == 1
    assert not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize(
    "op", ["ConvInteger", "QAttention", "DynamicQuantizeMatMul", "MatMulNBits"]
)
def test_what_is_quantized_already_is_called_so(op: str, tmp_path: Path) -> None:
    model = plain()
    domain = "" if op == "ConvInteger" else "com.microsoft"
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    attributes = {"num_heads": 1} if op == "QAttention" else {}
    model.graph.node.append(
        helper.make_node(op, ["r1", "w2"], ["unread"], "integer", domain=domain, **attributes)
    )
    onnx.save(model, tmp_path / "theirs.onnx")
    with pytest.raises(ModelError, match=rf"is quantized already \(it has {op}\)"):
        quantize_model(tmp_path / "theirs.onnx", tmp_path / "q.onnx", "int8")


def test_weights_that_levels_and_a_scale_make_are_layers(labels: Path, tmp_path: Path) -> None:
    model = plain()
    head = next(tensor for tensor in model.graph.initializer if tensor.name == "head")
    scale = np.abs(numpy_helper.to_array(head)).max(0) / 127
    levels = np.round(numpy_helper.to_array(head) / scale).astype(np.int8)
    model.graph.initializer.remove(head)
    model.graph.initializer.append(numpy_helper.from_array(levels, "levels"))
    model.graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), "scale"))
    more = [
        helper.make_node("Cast", ["levels"], ["wide"], "wide", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["wide", "scale"], ["head"], "rebuilt"),
    ]
    nodes = [*more, *model.graph.node]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    onnx.save(model, tmp_path / "theirs.onnx")
    adopt(tmp_path / "theirs.onnx", tmp_path / "ours.onnx", labels, "ctc")
    made = quantize_model(tmp_path / "ours.onnx", tmp_path / "made.onnx", "dynamic-int8")
    assert [(row.name, row.codec) for row in made.layers][-1] == ("product", "int8")


def test_equal_weights_are_stored_as_often_as_was_foretold(labels: Path, tmp_path: Path) -> None:
    """Clips show what the layer outside of the branches meets, and not what those within do."""
    theirs, ours = tmp_path / "theirs.onnx", tmp_path / "ours.onnx"
    theirs.write_bytes(with_branches().SerializeToString())
    adopt(theirs, ours, labels, "ctc")
    settings = QuantizeSettings("few", compute="static", codec=CodecChoice.parse("bitplane:4"))
    plan = with_sizes(ours, settings)
    assert [layer.compute for layer in plan.layers] == [
        "float32",
        *["static"] * 2,
        *["dynamic"] * 2,
    ]
    clip = (0.1 * np.random.default_rng(0).standard_normal(8_000)).astype(np.float32)
    heard = Utterance(None, name="a", waveform=clip, sample_rate=16_000, seconds=0.5)
    made = quantize_model(ours, tmp_path / "made.onnx", plan, Corpus("noise", (heard,)))
    assert made.size_bytes == plan.predicted_bytes
