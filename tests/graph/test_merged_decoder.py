"""Merged decoders apart and together again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import quantkit
from quantkit.arrays import Array
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import ModelError
from quantkit.graph.artifact import model_files, open_model, save_model
from quantkit.graph.merged_decoder import add_up_weights, branch_of, merge, state_keys
from quantkit.graph.translating import set_kept, translations_of
from quantkit.runtime.encoder_decoder.merged import MergedNetwork
from quantkit.runtime.encoder_decoder.network import ExportedNetwork, Network
from quantkit.runtime.session import create_session
from tests.moonshine import moonshine_folder

WAVEFORM = 0.1 * np.random.default_rng(0).standard_normal((1, 9_000)).astype(np.float32)
TOKENS = (1, 7, 40, 3, 22)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moonshine_folder(tmp_path_factory)


@pytest.fixture(scope="module")
def artifact(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("artifact") / "tiny.onnx"
    quantkit.export(folder, path)
    return path


def said(network: Network, *, at_once: bool = False) -> Array:
    """(tokens, vocabulary) log-probabilities behind each token."""
    encoded, memory = network.encode(WAVEFORM), network.empty_memory()
    if at_once:
        found, _ = network.step(np.array([TOKENS]), encoded, memory, np.arange(len(TOKENS)))
        return found[0]
    rows = []
    for token in TOKENS:
        log_probs, memory = network.step(np.array([[token]]), encoded, memory)
        rows.append(log_probs[0, 0])
    return np.stack(rows)


def published(folder: Path) -> MergedNetwork:
    names = ("encoder_model.onnx", "decoder_model_merged.onnx")
    return MergedNetwork(*(create_session(folder / name) for name in names))


@pytest.mark.slow
class TestFiles:
    def test_one_branch_does_what_both_did(self, folder: Path, artifact: Path) -> None:
        ours = ExportedNetwork.load(*model_files(artifact))
        theirs = said(published(folder))
        np.testing.assert_allclose(said(ours), theirs, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(said(ours, at_once=True), theirs, rtol=1e-4, atol=1e-5)

    def test_given_back_they_are_the_original(
        self, folder: Path, artifact: Path, tmp_path: Path
    ) -> None:
        model = open_model(artifact)
        set_kept(model, kept=True)
        save_model(model, tmp_path / "encoder_model.onnx")
        np.testing.assert_allclose(
            said(published(tmp_path)), said(published(folder)), rtol=1e-4, atol=1e-5
        )
        for name in ("encoder_model.onnx", "decoder_model_merged.onnx"):
            one, two = (create_session(each / name) for each in (folder, tmp_path))
            for ask in ("get_inputs", "get_outputs"):
                declared, found = (getattr(session, ask)() for session in (one, two))
                assert [v.name for v in found] == [v.name for v in declared]
                assert [v.type for v in found] == [v.type for v in declared]

    def test_quantized_ones_say_what_the_artifact_does(
        self, folder: Path, artifact: Path, tmp_path: Path
    ) -> None:
        quantkit.quantize(artifact, tmp_path / "int8.onnx", "dynamic-int8")
        quantkit.quantize(folder, tmp_path / "out", "dynamic-int8")
        ours = said(ExportedNetwork.load(*model_files(tmp_path / "int8.onnx")))
        theirs = said(published(tmp_path / "out"))
        np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-3)
        assert np.abs(theirs - said(published(folder))).max() > 1e-2

    @pytest.mark.parametrize("codec", ["bitplane:3", "grouped:4", "codebook:4"])
    def test_packed_weights_are_unpacked_outside_of_the_choice(
        self, folder: Path, artifact: Path, tmp_path: Path, codec: str
    ) -> None:
        settings = quantkit.QuantizeSettings(compute="dynamic", codec=CodecChoice.parse(codec))
        quantkit.quantize(artifact, tmp_path / "packed.onnx", settings)
        quantkit.quantize(folder, tmp_path / "out", settings)
        ours = said(ExportedNetwork.load(*model_files(tmp_path / "packed.onnx")))
        np.testing.assert_allclose(said(published(tmp_path / "out")), ours, rtol=1e-3, atol=1e-3)
        assert quantkit.inspect(tmp_path / "out").layers

    def test_what_weights_of_both_branches_are_unpacked_with_is_there_once(
        self, folder: Path, artifact: Path, tmp_path: Path
    ) -> None:
        model = open_model(artifact)
        graph = model.graph
        nothing = onnx.numpy_helper.from_array(np.zeros((), np.float32), "nothing")
        graph.initializer.append(nothing)
        products = [node for node in graph.node if node.op_type == "MatMul"]
        weights = {tensor.name for tensor in graph.initializer}
        made = [helper.make_node("Mul", ["nothing", "nothing"], ["shared"], "shared")]
        for node in (n for n in products if n.input[1] in weights):
            # As a table that several codecs read.
            name = f"{node.name}.unpacked"
            made.append(helper.make_node("Add", [node.input[1], "shared"], [name], name))
            node.input[1] = name
        nodes = [*made, *graph.node]
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
        set_kept(model, kept=True)
        save_model(model, tmp_path / "encoder_model.onnx")
        np.testing.assert_allclose(
            said(published(tmp_path)), said(published(folder)), rtol=1e-4, atol=1e-5
        )
        again = open_model(tmp_path / "encoder_model.onnx")
        values = [name for node in again.graph.node for name in node.output]
        assert len(values) == len({*values})
        assert "shared" in values

    def test_several_clips_may_share_a_run(self, folder: Path, tmp_path: Path) -> None:
        quantkit.quantize(folder, tmp_path / "out", "dynamic-int8")
        for each in (folder, tmp_path / "out"):
            network = published(each)
            encoded = network.encode(np.concatenate((WAVEFORM, 0.5 * WAVEFORM)))
            tokens = np.array([[1], [4]])
            log_probs, memory = network.step(tokens, encoded, network.empty_memory(2))
            log_probs, _ = network.step(tokens, encoded, memory)
            assert log_probs.shape == (2, 1, 64)

    def test_each_weight_is_stored_once(self, folder: Path, tmp_path: Path) -> None:
        made = quantkit.quantize(folder, tmp_path / "out", "dynamic-int8")
        merged = onnx.load(str(tmp_path / "out" / "decoder_model_merged.onnx"))
        names = [tensor.name for tensor in merged.graph.initializer]
        assert len(names) == len({*names})
        (choice,) = (node for node in merged.graph.node if node.op_type == "If")
        inside = [t for each in choice.attribute for t in each.g.initializer]
        assert sum(np.prod(t.dims) for t in inside) < 100
        assert made.size_bytes == sum(f.stat().st_size for f in (tmp_path / "out").glob("*.onnx"))

    def test_what_a_rewrite_took_away_is_named(self, artifact: Path) -> None:
        whole = open_model(artifact)
        translations = translations_of(whole)
        assert translations is not None
        with pytest.raises(ModelError, match="not computed any more"):
            merge([onnx.ModelProto(), onnx.ModelProto(graph=whole.graph)], translations)

    def test_both_branches_can_be_had_alone(self, folder: Path) -> None:
        merged = onnx.load(str(folder / "decoder_model_merged.onnx"))
        assert state_keys(merged) == ["0.key", "0.value", "1.key", "1.value"]
        first = branch_of(merged, later=False, outputs=["present.0.encoder.key"])
        assert [v.name for v in first.graph.input] == ["input_ids", "encoder_hidden_states"]
        with pytest.raises(ModelError, match="computed by no branch"):
            branch_of(merged, later=True, outputs=["present.0.encoder.key"])


def test_a_graph_without_a_choice_is_no_merged_decoder() -> None:
    with pytest.raises(ModelError, match="0 nodes If"):
        branch_of(onnx.ModelProto(), later=True, outputs=["logits"])


def test_levels_and_zero_points_become_weights() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["levels", "zero"], ["weight"]),
            helper.make_node("Transpose", ["weight"], ["turned"]),
            helper.make_node("MatMul", ["x", "turned"], ["y"]),
        ],
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [
            onnx.numpy_helper.from_array(np.ones((2, 3), np.float32), "levels"),
            onnx.numpy_helper.from_array(np.full((2, 1), 0.5, np.float32), "zero"),
        ],
    )
    add_up_weights(graph)
    assert [node.op_type for node in graph.node] == ["Transpose", "MatMul"]
    (weight,) = graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(weight), np.full((2, 3), 1.5))
