"""Wav2Letter is exported for chunks, and what cannot be heard in chunks is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import quantkit
from quantkit.audio.frontend import Frontend
from quantkit.errors import InputError
from quantkit.exporting.sources import ExportOptions, export_source
from quantkit.exporting.streaming import TOLERANCE, frames_in
from quantkit.graph.artifact import graph_roles, load_model, read_info
from quantkit.graph.roles import BATCH
from quantkit.runtime.graph_sessions import GraphSessions
from quantkit.runtime.streaming.chunks import chunks_of
from quantkit.runtime.streaming.network import ChunkNetwork
from quantkit.runtime.streaming.settings import streaming_settings
from tests.once import made_once
from tests.streaming_model import CHUNK, LABELS, write_both

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "streaming", write_both)


def test_its_metadata_say_how_it_hears(models: Path) -> None:
    info = read_info(models / "stream.onnx")
    assert info.task == "streaming-ctc"
    settings = streaming_settings(info.extra)
    assert (settings.chunk, settings.shift, settings.stride) == (16, 16, 2)
    assert (settings.delay, settings.look_ahead, settings.ends) == (48, 96, True)
    assert info.labels == LABELS
    assert info.frontend == Frontend()
    assert not info.fused


def test_its_states_are_listed_in_the_metadata(models: Path) -> None:
    (role,) = graph_roles(models / "stream.onnx")
    shapes = {state.input: (state.output, state.shape, state.type) for state in role.states}
    assert shapes["state.frames"] == ("next.frames", (BATCH,), "int64")
    assert shapes["state.layer1"] == ("next.layer1", (BATCH, 40, 47), "float32")
    model = load_model(models / "stream.onnx")
    assert {value.name for value in model.graph.input} == {"features", "lengths", *shapes}
    assert [value.name for value in model.graph.output] == [*role.outputs]
    assert role.outputs[:2] == ("log_probs", "output_lengths")


def test_its_layers_are_those_of_the_model_of_whole_clips(models: Path) -> None:
    names = [
        [(layer.name, layer.shape) for layer in quantkit.inspect(models / name).layers]
        for name in ("whole.onnx", "stream.onnx")
    ]
    assert names[0] == names[1]


def test_a_cache_is_cut_from_what_its_layer_reads(models: Path) -> None:
    """So an integer layer lays each frame on one grid, in whichever chunk it reads it."""
    graph = load_model(models / "stream.onnx").graph
    made = {name: node for node in graph.node for name in node.output}
    readers = {node.input[0]: node for node in graph.node if node.op_type == "Conv"}
    for number in range(1, 10):
        kept = made[f"next.layer{number}"]
        assert kept.op_type == "Slice"
        longer = made[kept.input[0]]
        assert longer.op_type == "Concat"
        assert longer.input[0] == f"state.layer{number}"
        assert readers[longer.output[0]].name == f"layer{number}.conv"


def test_all_chunks_at_once_give_what_they_give_one_by_one(models: Path) -> None:
    path = models / "stream.onnx"
    settings = streaming_settings(read_info(path).extra)
    network = ChunkNetwork.load(path, settings)
    features = np.random.default_rng(0).normal(0, 1, (101, 40)).astype(np.float32)
    chunks = [*chunks_of(features, settings, np.zeros(40, np.float32))]
    states, rows = network.begin(), []
    for chunk in chunks:
        made, states = network.run(chunk, states)
        rows.append(made["log_probs"])
    graphs = GraphSessions.load(path)
    whole = np.concatenate([chunk.features for chunk in chunks])[None]
    feed = {"features": whole, "lengths": np.array([101]), **network.begin()}
    at_once = graphs.run("model", feed)
    np.testing.assert_allclose(at_once["log_probs"], np.concatenate(rows, axis=1), atol=1e-5)
    assert int(at_once["output_lengths"][0]) == 51


def test_streams_of_a_batch_may_be_at_different_places(models: Path) -> None:
    path = models / "stream.onnx"
    network = ChunkNetwork.load(path, streaming_settings(read_info(path).extra))
    random = np.random.default_rng(1)
    clips = [random.normal(0, 1, (n, 40)).astype(np.float32) for n in (64, 300)]
    silence = np.zeros(40, np.float32)
    rows, states = [], []
    for clip, begun in zip(clips, (7, 12), strict=True):
        chunks = [*chunks_of(clip, network.settings, silence)]
        state = network.begin()
        for chunk in chunks[:begun]:
            _, state = network.run(chunk, state)
        states.append((chunks[begun], state))
        rows.append(network.run(chunks[begun], state)[0]["log_probs"])
    feed = {
        "features": np.stack([chunk.features for chunk, _ in states]),
        "lengths": np.array([chunk.length for chunk, _ in states]),
        **network.along_batch([state for _, state in states]),
    }
    together = network.graphs.run("model", feed)["log_probs"]
    np.testing.assert_allclose(together, np.concatenate(rows), atol=1e-5)


@pytest.mark.slow
def test_the_shipped_model_agrees_with_whole_clips(tmp_path: Path) -> None:
    made = quantkit.export(REPOSITORY / "models/wav2letter-en", tmp_path / "x.onnx", chunk=0.32)
    assert made.parity.worst.difference <= TOLERANCE == 1e-5
    assert made.parity.reference == "PyTorch on whole clips"
    assert {case.length for case in made.parity.cases} >= {2, 31, 32, 33, 300}


@pytest.mark.parametrize("seconds", [0.16, 0.02, 0.64, CHUNK])
def test_a_chunk_is_a_whole_number_of_rows(seconds: float) -> None:
    assert frames_in(seconds, Frontend(), 2) == round(100 * seconds)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.03, 0.315, 31.0, float("nan"), float("inf")])
def test_another_time_is_refused(seconds: float) -> None:
    with pytest.raises(InputError, match="a chunk is a multiple of 20 ms"):
        frames_in(seconds, Frontend(), 2)


def test_the_front_end_of_a_stream_is_no_part_of_the_graph(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--streaming and --with-frontend exclude each other"):
        quantkit.export(
            REPOSITORY / "models/wav2letter-en",
            tmp_path / "x.onnx",
            with_frontend=True,
            chunk=0.32,
        )


def test_a_model_with_attention_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="attends to the whole clip in every layer") as refused:
        quantkit.export(REPOSITORY / "models/keywords-en", tmp_path / "x.onnx", chunk=0.32)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "x.onnx").exists()


def test_a_finished_graph_is_refused(models: Path, tmp_path: Path) -> None:
    source = str(models / "whole.onnx")
    with pytest.raises(InputError, match="a finished graph, in which there are no states"):
        export_source(source, tmp_path / "x.onnx", ExportOptions(chunk=0.32))


def test_graphs_with_caches_are_told_from_where_they_come(tmp_path: Path) -> None:
    """An ``.onnx`` alone does not say what its caches are at first."""
    from tests.exporting.folders.small_folders import write_streaming_ctc

    folder = write_streaming_ctc(tmp_path / "x")
    (alone,) = folder.glob("*.onnx")
    assert any(value.name.startswith("cached_conv") for value in onnx.load(alone).graph.input)
    labels = folder / "tokens.txt"
    with pytest.raises(InputError, match="a state between calls: give the folder"):
        quantkit.export(alone, tmp_path / "y.onnx", labels=labels, task="ctc", frontend="kaldi-80")
