"""Recognisers of a few nodes that read their transcript off the features, and clips that spell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.benchmarking.run import run_bench
from quantkit.benchmarking.schema import BenchReport
from quantkit.benchmarking.settings import BenchSettings
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.runtime.interleaved import Effort
from quantkit.text.decoding import Decoding
from quantkit.text.labels import Labels

LABELS = Labels(("_", " ", "a", "b"))
PLAN = {
    "schema": "quantkit.plan/1",
    "layers": [{"name": "only", "codec": "float32", "compute": "float32", "bits": 32}],
}

MakeModel = Callable[..., Path]
Spell = Callable[..., Utterance]


def graph_nodes(kind: str) -> list[onnx.NodeProto]:
    """Nodes from ``heard`` (batch, frames, 4) to ``logits``."""
    if kind == "good":
        return [helper.make_node("Mul", ["heard", "gain"], ["logits"])]
    if kind == "swapped":  # writes b for a and a for b
        return [
            helper.make_node("Gather", ["heard", "order"], ["mixed"], axis=2),
            helper.make_node("Mul", ["mixed", "gain"], ["logits"]),
        ]
    # "crowded": one grid for the whole batch, so a loud clip rounds a quiet one away.
    return [
        helper.make_node("ReduceMax", ["heard"], ["loudest"], keepdims=0),
        helper.make_node("Div", ["heard", "loudest"], ["relative"]),
        helper.make_node("Round", ["relative"], ["rounded"]),
        helper.make_node("Add", ["rounded", "prefer_blank"], ["leaning"]),
        helper.make_node("Mul", ["leaning", "gain"], ["logits"]),
    ]


def build(kind: str, labels: Labels, ballast: int) -> onnx.ModelProto:
    """A model whose weights are ``ballast`` float32 numbers that do nothing."""
    constants = {
        "from": np.array([0]),
        "to": np.array([len(labels)]),
        "axis": np.array([2]),
        "gain": np.array(12.0, np.float32),
        "order": np.array([0, 1, 3, 2]),
        "prefer_blank": np.array([0.1, 0, 0, 0], np.float32),
        "ballast": np.ones(ballast, np.float32),
    }
    nodes = [
        helper.make_node("Slice", ["features", "from", "to", "axis"], ["heard"], name="only"),
        *graph_nodes(kind),
        # A data-dependent zero keeps the ballast from being folded away.
        helper.make_node("ReduceMin", ["logits"], ["least"], keepdims=0),
        helper.make_node("Mul", ["ballast", "least"], ["heavy"]),
        helper.make_node("ReduceSum", ["heavy"], ["weight"], keepdims=0),
        helper.make_node("Sub", ["weight", "weight"], ["nothing"]),
        helper.make_node("Add", ["logits", "nothing"], ["final"]),
        helper.make_node("LogSoftmax", ["final"], ["log_probs"]),
        helper.make_node("Identity", ["lengths"], ["output_lengths"]),
    ]
    value = helper.make_tensor_value_info
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        kind,
        [
            value("features", TensorProto.FLOAT, ["batch", "frames", 40]),
            value("lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            value("log_probs", TensorProto.FLOAT, ["batch", "frames", len(labels)]),
            value("output_lengths", TensorProto.INT64, ["batch"]),
        ],
        [numpy_helper.from_array(a, name) for name, a in constants.items() if name in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def write_model(
    path: Path, kind: str = "good", labels: Labels = LABELS, ballast: int = 100, task: str = "ctc"
) -> Path:
    """Write a ``good``, ``swapped`` or ``crowded`` artifact."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model = build(kind, labels, ballast)
    set_info(model, ArtifactInfo(labels=labels, frontend=Frontend(), task=task, plan=PLAN))
    save_model(model, path)
    return path


def spelled(said: str, text: str | None = None, name: str = "", loudness: float = 1.0) -> Utterance:
    """A clip of features that the ``good`` model reads as ``said``: two frames per letter."""
    path = "".join(f"{letter}{letter}_" for letter in said)
    features = np.zeros((len(path), 40), np.float32)
    for row, token in zip(features, path, strict=True):
        row[LABELS.tokens.index(token)] = loudness
    transcript = said if text is None else text
    return Utterance(None, transcript, features=features, name=name or f"clip-{said}")


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Write an artifact: ``make_model(name, kind, labels=…, ballast=…, task=…)``."""

    def make(name: str, *arguments: object, **options: object) -> Path:
        return write_model(tmp_path / f"{name}.onnx", *arguments, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def spell() -> Spell:
    """Make a clip: ``spell(said, text=…, name=…, loudness=…)``."""
    return spelled


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """Five clips of different length, and not all of them are read as they are labelled."""
    clips = [
        spelled("ab"),
        spelled("a b ab"),
        spelled("aab", text="aa"),
        spelled("b", text="b b"),
        spelled("abba ab aa"),
    ]
    return Corpus("letters", tuple(clips))


@pytest.fixture(scope="session")
def quick() -> BenchSettings:
    """Settings that take no time."""
    return BenchSettings(
        decoding=Decoding("greedy"),
        batch_sizes=(1, 4),
        threads=(1,),
        effort=Effort(rounds=3, min_rounds=1, seconds=0.2),
    )


@pytest.fixture(scope="session")
def report(
    corpus: Corpus, quick: BenchSettings, tmp_path_factory: pytest.TempPathFactory
) -> BenchReport:
    """A run of a good and a bad model."""
    folder = tmp_path_factory.mktemp("models")
    good = write_model(folder / "good.onnx")
    bad = write_model(folder / "bad.onnx", "swapped", ballast=50)
    return run_bench([good, bad], corpus, quick)


@pytest.fixture(scope="session")
def unlabelled(
    corpus: Corpus, quick: BenchSettings, tmp_path_factory: pytest.TempPathFactory
) -> BenchReport:
    """A run over clips without transcripts."""
    model = write_model(tmp_path_factory.mktemp("models") / "good.onnx")
    clips = tuple(replace(clip, text=None) for clip in corpus)
    return run_bench([model], replace(corpus, utterances=clips), quick)
