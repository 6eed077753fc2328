"""Four graphs become the two of an artifact, and four again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import quantkit
from benchmarks.moonshine_graphs import STEMS
from quantkit.errors import ModelError
from quantkit.graph.artifact import model_files, open_model, save_model
from quantkit.graph.translating import set_kept
from tests.sherpa_moonshine import moonshine_graphs

pytestmark = pytest.mark.slow

Outputs = list[np.ndarray]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moonshine_graphs(tmp_path_factory)


@pytest.fixture(scope="module")
def given_back(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of the folder, written with the inputs and outputs of the originals."""
    place = tmp_path_factory.mktemp("back")
    model = open_model(quantkit.export(folder, place / "x.onnx").path)
    set_kept(model, kept=True)
    save_model(model, place / "preprocess.onnx")
    return place


def outputs(folder: Path, text: list[int]) -> list[Outputs]:
    """What all four give, of half a second of noise and a text whose last tokens come at once."""
    sessions = [
        onnxruntime.InferenceSession(folder / f"{stem}.onnx", providers=["CPUExecutionProvider"])
        for stem in STEMS
    ]
    noise = 0.1 * np.random.default_rng(0).standard_normal((1, 8_000)).astype(np.float32)

    def run(place: int, *values: np.ndarray) -> Outputs:
        names = [each.name for each in sessions[place].get_inputs()]
        found: Outputs = sessions[place].run(None, dict(zip(names, values, strict=True)))
        return found

    def length(count: int) -> np.ndarray:
        return np.array([count], np.int32)

    features = run(0, noise)
    hidden = run(1, features[0], length(features[0].shape[1]))
    tokens = np.array([text], np.int32)
    first = run(2, tokens[:, :1], hidden[0], length(1))
    later = run(3, tokens[:, 1:], hidden[0], length(len(text)), *first[1:])
    return [features, hidden, first, later]


def test_what_is_given_back_computes_the_same(folder: Path, given_back: Path) -> None:
    for ours, theirs in zip(
        outputs(given_back, [1, 5, 7, 3]), outputs(folder, [1, 5, 7, 3]), strict=True
    ):
        assert len(ours) == len(theirs)
        for found, expected in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_inputs_and_outputs_are_those_of_the_originals(folder: Path, given_back: Path) -> None:
    for stem in STEMS:
        ours, theirs = (onnx.load(place / f"{stem}.onnx") for place in (given_back, folder))
        assert [*ours.graph.input] == [*theirs.graph.input]
        assert [v.name for v in ours.graph.output] == [v.name for v in theirs.graph.output]


def test_files_that_were_given_back_are_opened_as_one(given_back: Path, tmp_path: Path) -> None:
    model = open_model(given_back / "preprocess.onnx")
    set_kept(model, kept=False)
    save_model(model, tmp_path / "again.onnx")
    again = [file.name for file in model_files(tmp_path / "again.onnx")]
    assert again == ["again.onnx", "again.decoder.onnx"]
    for name in ("x.onnx", "x.decoder.onnx"):
        before, after = (
            onnx.load(place) for place in (given_back / name, tmp_path / f"again{name[1:]}")
        )
        assert {node.name for node in after.graph.node} >= {
            node.name for node in before.graph.node if not node.name.startswith("adopted.")
        }


def test_a_graph_that_is_missing_is_named(given_back: Path, tmp_path: Path) -> None:
    for stem in STEMS[:3]:
        (tmp_path / f"{stem}.onnx").write_bytes((given_back / f"{stem}.onnx").read_bytes())
    with pytest.raises(ModelError, match=r"its decoder cached_decode\.onnx is missing"):
        open_model(tmp_path / "preprocess.onnx")
