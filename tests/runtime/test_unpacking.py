"""Unpacked artifacts: the same outputs and metadata, weights as the kernels read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from quantkit.benchmarking.memory import measure_footprint
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError, ModelError
from quantkit.graph.artifact import load_model, model_files, read_info, save_model
from quantkit.graph.integrity import stored_checksum
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.inspection import inspect_model
from quantkit.runtime.graph_sessions import GraphSessions
from quantkit.runtime.optimised import optimised_graph
from quantkit.runtime.unpacking import UNPACKED_KEY, unpack_model
from tests.recurrent_model import recurrent_recogniser
from tests.small_model import clips, masked_convolutions, model, run, source
from tests.whisper import exported_whisper

__all__ = ["clips", "model", "run", "source"]

CODECS = ["bitplane:3", "codebook:3", "grouped:4", "native:4", "ternary", "sparse:4,keep=20"]


def packed(source: Path, path: Path, clips, codec: str = "grouped:4", **settings) -> Path:
    settings = {"compute": "static", **settings}
    wanted = QuantizeSettings(codec=CodecChoice.parse(codec), **settings)
    return quantize_model(source, path, wanted, clips).path


def operators(graph: onnx.GraphProto) -> list[str]:
    return sorted(node.op_type for node in graph.node)


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("compute", ["static", "dynamic", "float32"])
def test_outputs_are_the_same_bit_for_bit(codec, compute, source, clips, run, tmp_path) -> None:
    before = packed(source, tmp_path / "packed.onnx", clips, codec, compute=compute)
    made = unpack_model(before, tmp_path / "unpacked.onnx")
    for one, other in zip(run(before, clips), run(made.path, clips), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_outputs_are_the_same_where_decoders_are_folded_in_rounds(
    source, clips, run, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("quantkit.codecs.rounds._FEWEST_WEIGHTS", 0)
    before = packed(source, tmp_path / "packed.onnx", clips)
    made = unpack_model(before, tmp_path / "unpacked.onnx")
    for one, other in zip(run(before, clips), run(made.path, clips), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not {"Abs", "BitwiseOr"} & set(operators(load_model(made.path).graph))


@pytest.mark.slow
def test_nothing_is_left_to_unpack_and_the_same_kernels_run(source, clips, tmp_path) -> None:
    before = packed(source, tmp_path / "packed.onnx", clips)
    made = unpack_model(before, tmp_path / "unpacked.onnx")
    plain = quantize_model(
        source, tmp_path / "plain.onnx", QuantizeSettings(compute="static"), clips, pack=False
    )
    assert operators(load_model(made.path).graph) == operators(load_model(plain.path).graph)
    assert operators(optimised_graph(made.path)) == operators(optimised_graph(before))
    with pytest.raises(InputError, match="no packed weights: it loads as it is"):
        unpack_model(made.path, tmp_path / "again.onnx")


@pytest.mark.slow
def test_the_file_says_what_it_was_made_from_and_keeps_its_metadata(
    source, clips, tmp_path
) -> None:
    before = packed(source, tmp_path / "packed.onnx", clips)
    made = unpack_model(before, tmp_path / "unpacked.onnx")
    old, new = read_info(before), read_info(made.path)
    assert (new.labels, new.frontend, new.plan) == (old.labels, old.frontend, old.plan)
    assert new.extra[UNPACKED_KEY.removeprefix("quantkit.")] == stored_checksum(before)
    inspection = inspect_model(made.path)
    assert inspection.unpacked_from == stored_checksum(before)
    assert {layer.codec for layer in inspection.layers} == {"int8"}


@pytest.mark.slow
def test_a_damaged_weight_of_the_unpacked_file_is_found(source, clips, tmp_path) -> None:
    made = unpack_model(packed(source, tmp_path / "p.onnx", clips), tmp_path / "unpacked.onnx")
    data = tmp_path / "unpacked.onnx.data"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        read_info(made.path)


@pytest.mark.slow
def test_weights_lie_page_aligned_in_a_second_file(source, clips, tmp_path) -> None:
    made = unpack_model(packed(source, tmp_path / "p.onnx", clips), tmp_path / "unpacked.onnx")
    lazy = onnx.load(made.path, load_external_data=False)
    places = [t.external_data for t in lazy.graph.initializer if t.external_data]
    offsets = [int(e.value) for place in places for e in place if e.key == "offset"]
    assert offsets
    assert not any(offset % 4096 for offset in offsets)


@pytest.mark.slow
def test_recurrent_layers_are_unpacked(clips, run, tmp_path) -> None:
    source = tmp_path / "float32.onnx"
    save_model(recurrent_recogniser(), source)
    before = packed(source, tmp_path / "packed.onnx", clips, compute="dynamic")
    made = unpack_model(before, tmp_path / "unpacked.onnx")
    for one, other in zip(run(before, clips), run(made.path, clips), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_all_graphs_of_a_whisper_are_unpacked(tmp_path_factory, tmp_path) -> None:
    source = exported_whisper(tmp_path_factory)
    before = packed(source, tmp_path / "packed.onnx", None, compute="dynamic")
    made = unpack_model(before, tmp_path / "unpacked.onnx")
    assert len(model_files(made.path)) == 2
    noise = np.random.default_rng(0).standard_normal((1, 480_000), np.float32)
    outputs = []
    for path in (before, made.path):
        graphs = GraphSessions.load(path, 1)
        first = graphs.sessions[graphs.roles[0].role]
        (clip,) = [v for v in first.get_inputs() if v.name != "lengths"]
        shape = [s if isinstance(s, int) else 1 for s in clip.shape]
        known = {clip.name: np.resize(noise, shape), "lengths": np.array([shape[-1]])}
        outputs.append(graphs.run(graphs.roles[0].role, known))
    assert outputs[0].keys() == outputs[1].keys()
    for name, value in outputs[0].items():
        np.testing.assert_array_equal(value, outputs[1][name])


def test_a_file_of_somebody_else_is_refused(tmp_path, model) -> None:
    del model.metadata_props[:]
    model.producer_name = "somebody"
    onnx.save(model, tmp_path / "theirs.onnx")
    with pytest.raises(InputError, match="is not quantkit's"):
        unpack_model(tmp_path / "theirs.onnx", tmp_path / "unpacked.onnx")
    assert not (tmp_path / "unpacked.onnx").exists()


@pytest.mark.slow
def test_it_loads_in_as_much_memory_as_plain_int8(tmp_path) -> None:
    source = tmp_path / "wide.onnx"
    save_model(masked_convolutions(width=12), source)
    before = packed(source, tmp_path / "packed.onnx", None, compute="dynamic")
    plain = quantize_model(
        source, tmp_path / "plain.onnx", QuantizeSettings(compute="dynamic"), None
    ).path
    unpacked = unpack_model(before, tmp_path / "unpacked.onnx").path
    one, other = (measure_footprint(path, 20) for path in (unpacked, plain))
    assert one.peak_rss_bytes - one.idle_rss_bytes <= 1.1 * (
        other.peak_rss_bytes - other.idle_rss_bytes
    )
