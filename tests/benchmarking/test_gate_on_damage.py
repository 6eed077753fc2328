"""The whole way: models are benched, their figures accepted, then one model is damaged."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.benchmarking.baseline import DEFAULT_TOLERANCES, Baseline, Tolerance
from quantkit.benchmarking.figures import Figures, read_figures
from quantkit.benchmarking.gate import compare
from quantkit.benchmarking.gate_result import GateResult
from quantkit.benchmarking.run import run_bench
from quantkit.benchmarking.schema import write_report
from quantkit.benchmarking.settings import BenchSettings
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.runtime.interleaved import Effort
from quantkit.text.decoding import Decoding
from quantkit.text.labels import Labels

LABELS = Labels.english()
BANDS = 40
# Models of one multiplication take microseconds: their speed-up is noise and not the subject.
ANY_SPEED = {**DEFAULT_TOLERANCES, "speedup": Tolerance(1.0)}


def corpus() -> Corpus:
    """Forty sentences; a frame shows its letter as a peak in the band of that number, in noise."""
    generator = random.Random(3)
    noise = np.random.default_rng(3)
    utterances = []
    for i in range(40):
        text = " ".join("".join(generator.choices("abcdefghijklm", k=4)) for _ in range(4))
        frames = [unit for letter in LABELS.encode(text) for unit in (letter, LABELS.blank)]
        features = noise.normal(0, 0.25, (len(frames), BANDS)).astype(np.float32)
        features[np.arange(len(frames)), frames] += 1.0
        utterances.append(Utterance(None, text=text, name=f"{i:02}", features=features))
    return Corpus("peaks", tuple(utterances))


def spelling_model(path: Path, weight: npt.NDArray[np.float32], copies: int = 1) -> Path:
    """Scores are ``features @ weight``; the perfect weight is a unit matrix, scaled."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "weight"], ["scores"]),
            helper.make_node("LogSoftmax", ["scores"], ["log_probs"], axis=-1),
            helper.make_node("Identity", ["lengths"], ["output_lengths"]),
        ],
        "speller",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["b", "frames", BANDS]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["b"]),
        ],
        [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["b", "frames", 29]),
            helper.make_tensor_value_info("output_lengths", TensorProto.INT64, ["b"]),
        ],
        [numpy_helper.from_array(weight, "weight" + "'" * i) for i in range(copies)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    set_info(model, ArtifactInfo(LABELS, Frontend(), task="ctc"))
    onnx.checker.check_model(model)
    save_model(model, path)
    return path


def good_weight(noise: float = 0.0, seed: int = 0) -> npt.NDArray[np.float32]:
    spread = np.random.default_rng(seed).normal(0, noise, (BANDS, 29)) if noise else 0.0
    return (5.0 * (np.eye(BANDS, 29) + spread)).astype(np.float32)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gate")
    spelling_model(folder / "float32.onnx", good_weight())
    return folder


def bench(folder: Path, weight: npt.NDArray[np.float32], copies: int = 1) -> Figures:
    """Bench ``float32.onnx`` and a ``quantized.onnx`` with the given weight, through bench.json."""
    spelling_model(folder / "quantized.onnx", weight, copies)
    settings = BenchSettings(
        decoding=Decoding("greedy"),
        batch_sizes=(1,),
        threads=(1,),
        sweep_utterances=0,
        effort=Effort(rounds=3, min_rounds=3, seconds=0.1),
    )
    report = run_bench([folder / "float32.onnx", folder / "quantized.onnx"], corpus(), settings)
    write_report(report, folder / "bench.json")
    return read_figures(folder / "bench.json")


@pytest.fixture(scope="module")
def accepted(workshop: Path) -> Baseline:
    return Baseline(bench(workshop, good_weight(0.04, seed=1)), ANY_SPEED)


def judge(
    workshop: Path, accepted: Baseline, weight: npt.NDArray[np.float32], copies: int = 1
) -> GateResult:
    return compare(bench(workshop, weight, copies), accepted)


@pytest.mark.slow
def test_the_accepted_model_is_good_but_not_perfect(accepted: Baseline) -> None:
    quantized = accepted.figures.model("quantized")
    assert quantized is not None
    assert 0.0 < quantized.levenshtein < 2.0  # of 19 letters


@pytest.mark.slow
def test_the_same_model_again_passes(workshop: Path, accepted: Baseline) -> None:
    assert not judge(workshop, accepted, good_weight(0.04, seed=1)).failures


@pytest.mark.slow
def test_coarse_weights_fail(workshop: Path, accepted: Baseline) -> None:
    """What a wrong scale does: noise in the weights three times that of the accepted model."""
    (failure,) = judge(workshop, accepted, good_weight(0.12, seed=1)).failures
    assert (failure.model, failure.criterion) == ("quantized", "levenshtein")


@pytest.mark.slow
def test_one_dead_output_channel_fails(workshop: Path, accepted: Baseline) -> None:
    """What a zeroed per-channel scale does: the model never writes an e."""
    weight = good_weight(0.04, seed=1)
    weight[:, LABELS.tokens.index("e")] = -5.0
    (failure,) = judge(workshop, accepted, weight).failures
    assert (failure.model, failure.criterion) == ("quantized", "levenshtein")


@pytest.mark.slow
def test_a_weight_that_is_stored_twice_fails_on_size(workshop: Path, accepted: Baseline) -> None:
    result = judge(workshop, accepted, good_weight(0.04, seed=1), copies=2)
    assert [(c.model, c.criterion) for c in result.failures] == [("quantized", "size_bytes")]
