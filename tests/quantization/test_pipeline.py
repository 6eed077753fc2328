"""Quantizing a whole model: what is written, that it is close, and that batches do not matter."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.disk.files import sha256_of
from quantkit.errors import CorpusError, InputError, ModelError, NothingQuantized, OutputError
from quantkit.graph.artifact import read_info, save_model
from quantkit.quantization import PRESETS, QuantizeSettings, preset, quantize_model
from quantkit.quantization.family import quantize_family

QUANTIZED = [name for name in PRESETS if name != "float32"]
BATCH_INDEPENDENT = ["static-int8", "hybrid", "dynamic-int8"]


@pytest.mark.parametrize("name", QUANTIZED)
def test_every_preset_stays_close_to_float32(name, source, tmp_path, clips, run) -> None:
    result = quantize_model(source, tmp_path / "q.onnx", name, clips)
    reference, quantized = run(source, clips[:1])[0], run(result.path, clips[:1])[0]
    assert np.abs(quantized - reference).mean() < 0.06
    assert not np.array_equal(quantized, reference)
    assert result.size_bytes < 0.9 * result.source_bytes


@pytest.mark.slow
@pytest.mark.parametrize("name", BATCH_INDEPENDENT)
def test_batch_of_64_equals_batch_of_1_bit_for_bit(name, source, tmp_path, clips, run) -> None:
    path = quantize_model(source, tmp_path / "q.onnx", name, clips).path
    random = np.random.default_rng(5)
    many = [
        (str(i), {"features": random.uniform(0.2, 2) * random.standard_normal((1, n, 40), "f")})
        for i, n in enumerate(random.integers(20, 90, 64))
    ]
    together = run(path, many)
    for clip, batched in zip(many, together, strict=True):
        (alone,) = run(path, [clip])
        np.testing.assert_array_equal(batched, alone)


def test_one_range_per_batch_depends_on_batch_mates(source, tmp_path, clips, run) -> None:
    """The source work's defect, kept in its presets so that the bench can show it."""
    path = quantize_model(source, tmp_path / "q.onnx", "int8").path
    loud = ("loud", {"features": 5 * clips[1][1]["features"]})
    (alone,) = run(path, clips[:1])
    assert np.abs(run(path, [clips[0], loud])[0] - alone).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "floats"),
    [
        ("int8", []),
        ("semi-int8", [1]),
        ("skip-ends", [1, 2, 5, 6]),
        ("dynamic-int8", []),
        ("static-int8", []),
        ("hybrid", []),
    ],
)
def test_every_layer_runs_as_its_preset_says(name, floats, source, tmp_path, clips) -> None:
    result = quantize_model(source, tmp_path / "q.onnx", name, clips)
    kept = [row.name for row in result.lint.rows if row.status == "float32"]
    assert kept == [f"layer{number}.conv" for number in floats]
    assert result.lint.integer_layers == 6 - len(floats)
    assert not result.lint.problems


def test_static_layers_are_fused_and_the_masks_stay_on_integers(source, tmp_path, clips) -> None:
    result = quantize_model(source, tmp_path / "q.onnx", "static-int8", clips)
    kernels = [row.kernel for row in result.lint.rows]
    # The logits are not rounded to 8 bits: the last layer gives float32 directly.
    assert kernels == ["QLinearConv"] * 5 + ["MatMulInteger"]
    operators = Counter(node.op_type for node in onnx.load(result.path).graph.node)
    assert operators["Where"] == 4
    assert operators["QuantizeLinear"] == 6


def test_static_masks_are_uint8(source, tmp_path, clips) -> None:
    path = quantize_model(source, tmp_path / "q.onnx", "static-int8", clips).path
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    types = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    masks = [node for node in model.graph.node if node.op_type == "Where"]
    assert [types[node.output[0]] for node in masks] == [onnx.TensorProto.UINT8] * 4


def test_bias_is_int32_and_weights_are_stored_once(source, tmp_path, clips) -> None:
    path = quantize_model(source, tmp_path / "q.onnx", "static-int8", clips).path
    graph = onnx.load(path).graph
    sizes = Counter(
        (tuple(t.dims), onnx.TensorProto.DataType.Name(t.data_type))
        for t in graph.initializer
        if len(t.dims) == 3
    )
    assert sizes == {
        ((24, 40, 8), "INT8"): 1,
        ((24, 24, 7), "INT8"): 2,
        ((32, 24, 4), "INT8"): 1,
        ((32, 32, 1), "INT8"): 1,
    }
    used = {name for node in graph.node for name in node.input}
    assert {t.name for t in graph.initializer} <= used
    assert "INT32" in {onnx.TensorProto.DataType.Name(t.data_type) for t in graph.initializer}


@pytest.mark.parametrize("name", QUANTIZED)
def test_file_needs_no_custom_operator_and_no_newer_runtime(name, source, tmp_path, clips) -> None:
    model = onnx.load(quantize_model(source, tmp_path / "q.onnx", name, clips).path)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    assert model.ir_version == 8


def test_metadata_is_kept_and_names_the_source_and_the_plan(source, tmp_path, clips) -> None:
    result = quantize_model(source, tmp_path / "q.onnx", "semi-int8", clips)
    before, after = read_info(source), read_info(result.path)
    assert (after.labels, after.frontend, after.task, after.name) == (
        before.labels,
        before.frontend,
        "ctc",
        "small",
    )
    assert after.model_sha256 == sha256_of(source)
    assert after.plan is not None
    assert after.plan["schema"] == "quantkit.plan/1"
    assert after.plan["method"] == "semi-int8"
    first, second = after.plan["layers"][:2]
    assert first == {
        "name": "layer1.conv",
        "op": "Conv",
        "shape": [24, 40, 8],
        "codec": "float32",
        "bits": 32,
        "compute": "float32",
        "activation_bits": 32,
        "range": "none",
        "bytes": 4 * (24 * 40 * 8 + 24),
    }
    assert (second["codec"], second["bits"], second["compute"]) == ("int8", 8, "dynamic")
    assert second["range"] == "dynamic per-batch"
    assert sum(row["bytes"] for row in after.plan["layers"]) < result.size_bytes


def test_float32_preset_changes_no_number(source, tmp_path, clips, run) -> None:
    result = quantize_model(source, tmp_path / "copy.onnx", "float32")
    np.testing.assert_array_equal(run(source, clips)[1], run(result.path, clips)[1])
    assert read_info(result.path).plan["method"] == "float32"


def test_percentile_ranges_clip_what_minmax_holds(source, tmp_path, clips) -> None:
    settings = replace(preset("static-int8"), range="percentile", percentile=99.0)
    path = quantize_model(source, tmp_path / "q.onnx", settings, clips).path
    assert read_info(path).plan["layers"][0]["range"] == "percentile 99"
    other = quantize_model(source, tmp_path / "m.onnx", "static-int8", clips).path

    def input_scale(path: Path) -> float:
        graph = onnx.load(path).graph
        node = next(n for n in graph.node if n.op_type == "QuantizeLinear")
        tensor = next(t for t in graph.initializer if t.name == node.input[1])
        return float(onnx.numpy_helper.to_array(tensor))

    assert input_scale(path) < 0.8 * input_scale(other)


def test_family_writes_every_preset_and_leaves_the_source(source, clips) -> None:
    before = source.read_bytes()
    results = list(quantize_family(source, source.parent, list(PRESETS.values()), clips))
    assert [r.path.name for r in results] == [f"{name}.onnx" for name in PRESETS]
    assert all(r.path.exists() for r in results)
    assert source.read_bytes() == before


def test_family_writes_nothing_when_calibration_is_missing(source) -> None:
    with pytest.raises(InputError, match="static-int8, hybrid need calibration clips"):
        list(quantize_family(source, source.parent, list(PRESETS.values())))
    assert [file.name for file in source.parent.iterdir()] == ["float32.onnx"]


def test_weights_beyond_the_threshold_stay_external(model, tmp_path, clips, run) -> None:
    source = tmp_path / "external" / "float32.onnx"
    save_model(model, source, external_threshold=0)
    result = quantize_model(source, tmp_path / "q.onnx", "static-int8", clips)
    assert result.source_bytes > source.stat().st_size
    assert run(result.path, clips[:1])[0].shape == (31, 6)


# Bad input: one clear line each.


def test_static_without_clips(source, tmp_path) -> None:
    with pytest.raises(InputError, match="static layers and needs calibration clips"):
        quantize_model(source, tmp_path / "q.onnx", "static-int8")


def test_unknown_preset(source, tmp_path) -> None:
    with pytest.raises(InputError, match="unknown preset 'int7'; choose one of float32, int8"):
        quantize_model(source, tmp_path / "q.onnx", "int7")


def test_exclusion_that_matches_nothing(source, tmp_path) -> None:
    settings = QuantizeSettings(compute="dynamic", exclude=("layer77.*",))
    with pytest.raises(InputError, match=r"pattern 'layer77\.\*' matches no layer"):
        quantize_model(source, tmp_path / "q.onnx", settings)


def test_quantized_model_is_not_quantized_again(source, tmp_path, clips) -> None:
    once = quantize_model(source, tmp_path / "once.onnx", "int8").path
    with pytest.raises(ModelError, match="is quantized already"):
        quantize_model(once, tmp_path / "twice.onnx", "int8")


def test_source_is_never_overwritten(source) -> None:
    before = source.read_bytes()
    with pytest.raises(InputError, match="write the result to another file"):
        quantize_model(source, source, "int8")
    assert source.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x08\x12\x04pyto"])
def test_file_that_is_no_model(content, tmp_path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not an ONNX model, or is cut off"):
        quantize_model(path, tmp_path / "q.onnx", "int8")


def test_truncated_model(source, tmp_path) -> None:
    source.write_bytes(source.read_bytes()[:-5000])
    with pytest.raises(ModelError):
        quantize_model(source, tmp_path / "q.onnx", "int8")
    assert not (tmp_path / "q.onnx").exists()


def test_model_without_layers(tmp_path) -> None:
    value = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n"]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), tmp_path / "r")
    with pytest.raises(NothingQuantized, match=r"has no layer, no Conv, .*; it holds no weights"):
        quantize_model(tmp_path / "r", tmp_path / "q.onnx", "int8")


def test_folder_that_cannot_be_made(source, tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write"):
        quantize_model(source, tmp_path / "file" / "q.onnx", "int8")


def test_corpus_of_ready_made_features_calibrates(source, tmp_path, clips) -> None:
    utterances = [Utterance(None, features=feed["features"][0], name=n) for n, feed in clips]
    too_short = Utterance(None, features=np.zeros((1, 40), "f"), name="blip")
    wrong = Utterance(None, features=np.zeros((9, 13), "f"), name="mfcc")
    corpus = Corpus("features", (*utterances, too_short, wrong))
    result = quantize_model(source, tmp_path / "q.onnx", "static-int8", corpus)
    assert len(result.skipped) == 2
    by_feeds = quantize_model(source, tmp_path / "f.onnx", "static-int8", clips)
    assert sha256_of(result.path) == sha256_of(by_feeds.path)


def test_corpus_without_a_usable_clip(source, tmp_path) -> None:
    corpus = Corpus("short", (Utterance(None, features=np.zeros((1, 40), "f"), name="blip"),))
    with pytest.raises(CorpusError, match="none of 1 clips is usable"):
        quantize_model(source, tmp_path / "q.onnx", "static-int8", corpus)


def test_audio_needs_a_model_with_a_front_end(source, tmp_path) -> None:
    model = onnx.load(source)
    del model.metadata_props[:]
    save_model(model, source)
    corpus = Corpus("c", (Utterance(None, features=np.zeros((9, 40), "f")),))
    with pytest.raises(ModelError, match="carries no front end"):
        quantize_model(source, tmp_path / "q.onnx", "static-int8", corpus)


@pytest.mark.slow
def test_waveforms_calibrate_a_model_with_a_fused_front_end(tmp_path) -> None:
    frontend_graph = pytest.importorskip("quantkit.exporting.frontend_graph")
    torch = pytest.importorskip("torch")
    soundfile = pytest.importorskip("soundfile")
    from quantkit.exporting.to_onnx import export_wav2letter
    from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
    from quantkit.text.labels import Labels

    assert frontend_graph
    torch.manual_seed(0)
    network = Wav2Letter(Wav2LetterConfig(labels=29, width=16, head_width=16)).eval()
    source = tmp_path / "float32.onnx"
    export_wav2letter(network, Labels.english(), Frontend(), source, with_frontend=True)
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 16_000)
    soundfile.write(tmp_path / "a.wav", noise, 16_000)
    soundfile.write(tmp_path / "blip.wav", noise[:100], 16_000)
    corpus = Corpus("c", (Utterance(tmp_path / "a.wav"), Utterance(tmp_path / "blip.wav")))
    result = quantize_model(source, tmp_path / "q.onnx", "static-int8", corpus)
    assert result.lint.integer_layers == 11
    assert len(result.skipped) == 1
