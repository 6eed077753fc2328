"""What each graph of a model costs."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import quantkit
from quantkit.audio.corpora import open_corpus
from quantkit.calibration.data import CalibrationData
from quantkit.graph.artifact import graph_roles, read_info
from quantkit.personalization import parts
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.estimate import Estimate
from tests.exporting.folders.small_folders import write_nemo

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transducer")
    return quantkit.export(write_nemo(folder / "published"), folder / "float32.onnx").path


def test_weights_of_graphs_that_are_tried_lie_beside_them(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file cannot hold a graph of more than 2 GB, such as the float encoder of a Parakeet."""
    small = quantkit.quantize(source, tmp_path / "small.onnx", "dynamic-int8").path
    speech = open_corpus(REPOSITORY / "calibration_data").sample(2)
    feeds = CalibrationData(speech, read_info(source), source)
    found: list[int] = []
    measure = parts.model_divergence

    def measured(prepared: PreparedModel, path: Path, *args: object, **named: object) -> Estimate:
        for file in path.parent.glob("*.onnx"):
            graph = onnx.load(file, load_external_data=False).graph
            found.append(max(len(each.raw_data) for each in graph.initializer))
        return measure(prepared, path, *args, **named)

    monkeypatch.setattr(parts, "model_divergence", measured)
    costs = parts.part_costs(PreparedModel.of(source), small, feeds, "uniform")
    assert [each.role for each in costs] == [each.role for each in graph_roles(source)]
    assert all(0 <= each.divergence < 0.1 for each in costs)
    assert max(found) < 1_024
