"""A task that is added with one file goes through every step, without a change of quantkit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.benchmarking.memory import measure_footprint
from quantkit.bundles.bundle import ship
from quantkit.bundles.verify_artifact import verify_artifact
from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import ModelError
from quantkit.graph.artifact import graph_roles, load_model, model_files, read_info, total_size
from quantkit.graph.joined import repeated_nodes
from quantkit.planning.optimal import optimal_plan
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.runtime.graph_sessions import GraphSessions
from quantkit.runtime.transcriber import transcribe
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.sensitivity.table import Sensitivity
from quantkit.tasks.catalogue import task_of
from quantkit.tasks.open import open_speech_model
from tests.tasks.transducer import ROLES, write_transducer

REPOSITORY = Path(__file__).resolve().parents[2]
CODECS = tuple(map(CodecChoice.parse, ("bitplane:2", "bitplane:4", "bitplane:6", "int8")))
LAYERS = [
    "encoder.conv",
    "encoder.projection",
    "predictor.embedding",
    "predictor.projection",
    "joiner.output",
]


@pytest.fixture(scope="module")
def speech() -> Corpus:
    return open_corpus(REPOSITORY / "calibration_data").sample(4)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_transducer(tmp_path_factory.mktemp("transducer") / "float32.onnx")


@pytest.fixture(scope="module")
def feeds(source: Path, speech: Corpus) -> CalibrationData:
    return CalibrationData(speech, read_info(source), source)


@pytest.fixture(scope="module")
def sensitivity(source: Path, feeds: CalibrationData) -> Sensitivity:
    settings = AnalysisSettings(metrics=("median",), divergence=DivergenceSettings(CODECS))
    return analyze(source, feeds, settings)


@pytest.fixture(scope="module")
def small(source: Path, feeds: CalibrationData, sensitivity: Sensitivity, tmp_path_factory) -> Path:
    """Planned to a fifth of the float files, and written under a name of another length."""
    settings = QuantizeSettings(compute="dynamic")
    budget = total_size(source) // 5
    plan = optimal_plan(source, budget, sensitivity, settings).plan
    path = tmp_path_factory.mktemp("small") / "a-transducer-of-some-user.onnx"
    made = quantize_model(source, path, plan, feeds)
    assert made.size_bytes <= budget
    assert made.size_bytes == plan.predicted_bytes
    return path


def test_it_is_three_files_of_three_roles(source: Path) -> None:
    files = model_files(source)
    names = ["float32.onnx", "float32.predictor.onnx", "float32.joiner.onnx"]
    assert [file.name for file in files] == names
    assert [role.role for role in graph_roles(source)] == ["encoder", "predictor", "joiner"]
    assert graph_roles(source)[1].states == ROLES[1].states
    inputs = [[value.name for value in onnx.load(file).graph.input] for file in files]
    assert inputs == [
        ["features"],
        ["tokens", "previous"],
        ["frames", "places", "predicted", "encoded"],
    ]
    assert total_size(source) == sum(file.stat().st_size for file in files)
    assert task_of(read_info(source)).unit == "token"


def test_all_its_files_are_one_graph_of_which_two_parts_run_once_per_token(source: Path) -> None:
    whole = load_model(source)
    assert [value.name for value in whole.graph.output] == [
        "log_probs",
        "predicted",
        "last",
        "encoded",
    ]
    prefixes = {name.split(".")[0] for name in repeated_nodes(whole)}
    assert prefixes == {"predictor", "joiner"}


def test_the_state_of_a_run_is_what_the_next_begins_with(source: Path) -> None:
    graphs = GraphSessions.load(source)
    tokens = np.array([[0, 3, 1, 4]])
    at_once = graphs.run("predictor", {"tokens": tokens, **graphs.states("predictor")})
    states, steps = graphs.states("predictor"), []
    for token in tokens[0]:
        made = graphs.run("predictor", {"tokens": np.array([[token]]), **states})
        states = graphs.next_states("predictor", made)
        steps.append(made["predicted"])
    np.testing.assert_allclose(np.concatenate(steps, axis=1), at_once["predicted"], atol=1e-6)
    # Without its state it would read something else.
    fresh = graphs.run("predictor", {"tokens": tokens[:, -1:], **graphs.states("predictor")})
    assert np.abs(fresh["predicted"] - steps[-1]).max() > 0.1


def test_it_is_calibrated_on_the_path_that_it_takes_itself(
    feeds: CalibrationData, speech: Corpus
) -> None:
    assert feeds.clips == len(speech)
    assert feeds.seconds == pytest.approx(speech.seconds, abs=0.2)
    for _, inputs in feeds:
        assert inputs["tokens"].shape[1] > 1
        assert inputs["places"].max() < inputs["tokens"].shape[1] < len(inputs["frames"])
        assert inputs["previous"].tolist() == [[0]]


def test_the_analysis_knows_the_layers_of_all_graphs(sensitivity: Sensitivity) -> None:
    assert [layer.name for layer in sensitivity.layers] == LAYERS
    for layer in sensitivity.layers:
        worst = max(weight.divergence for weight in layer.weights)
        assert worst > 0.0, layer.name


def test_predicted_and_real_bytes_are_equal_over_all_files(small: Path, source: Path) -> None:
    files = model_files(small)
    assert [file.name for file in files] == [
        "a-transducer-of-some-user.onnx",
        "a-transducer-of-some-user.predictor.onnx",
        "a-transducer-of-some-user.joiner.onnx",
    ]
    assert sum(file.stat().st_size for file in files) == total_size(small)
    assert total_size(small) < total_size(source) / 3


def test_as_it_is_used_it_is_near_the_float_model(
    small: Path, source: Path, feeds: CalibrationData
) -> None:
    assert model_divergence(source, source, feeds).mean < 1e-6
    assert 0.0 < model_divergence(source, small, feeds).mean < 0.2


def test_it_is_verified(small: Path, tmp_path: Path) -> None:
    verified = verify_artifact(small)
    assert verified.problem == ""
    assert verified.runtime is not None
    assert verified.runtime["rtf"] is not None
    for file in model_files(small):
        shutil.copy(file, tmp_path / file.name)
    joiner = tmp_path / model_files(small)[2].name
    content = bytearray(joiner.read_bytes())
    content[len(content) // 2] ^= 1
    joiner.write_bytes(content)
    assert "is damaged" in verify_artifact(tmp_path / small.name).problem
    joiner.unlink()
    with pytest.raises(ModelError, match=r"its joiner .*\.joiner\.onnx is missing"):
        read_info(tmp_path / small.name)


def test_it_writes_what_it_hears(small: Path, source: Path, speech: Corpus) -> None:
    paths = [clip.path for clip in speech if clip.path is not None]
    expected = [found.text for found in transcribe(open_speech_model(source), paths)]
    assert all(expected)
    found = [found.text for found in transcribe(open_speech_model(small), paths)]
    same = sum(one == other for one, other in zip(found, expected, strict=True))
    assert all(found)
    assert same >= 1


def test_its_memory_is_measured_in_a_process_that_does_not_know_it(small: Path) -> None:
    footprint = measure_footprint(small, length=200)
    assert footprint.peak_rss_bytes > footprint.idle_rss_bytes
    # As many bytes as there are weights, or more.
    assert footprint.weight_bytes > 10_000


def test_a_bundle_of_it_is_refused(small: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError,
        match="is a toy-transducer model, and this task does not say what a bundle of it holds",
    ):
        ship(small, tmp_path / "bundle")
