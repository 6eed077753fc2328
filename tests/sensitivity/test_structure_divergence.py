"""What a rank does to the posteriors is what a float model with that rank does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import save_model
from quantkit.graph.plan import Structure
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.sensitivity.table import LayerSensitivity, Sensitivity
from quantkit.structure.layers import split_layers
from tests.small_model import Clip, masked_convolutions

pytestmark = pytest.mark.slow

CODECS = (CodecChoice.parse("bitplane:3"),)
DIVERGENCE = DivergenceSettings(CODECS, weighting="uniform", seconds=1000)
SETTINGS = AnalysisSettings(metrics=(), divergence=DIVERGENCE, ranks=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ranks") / "float32.onnx"
    save_model(masked_convolutions(width=4), path)
    return path


def clip(seed: int) -> Clip:
    frames = 60 + 30 * seed
    values = np.random.default_rng(seed).standard_normal((1, frames, 40), np.float32)
    return f"clip {seed}", {"features": values, "lengths": np.array([frames], np.int64)}


CLIPS = [clip(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def table(source: Path) -> Sensitivity:
    return analyze(source, CLIPS, SETTINGS)


def split_alone(source: Path, ranks: Structure, folder: Path) -> float:
    """Divergence of a float model in which the third layer alone is split."""
    prepared = PreparedModel(source)
    feeds = CalibrationData(CLIPS, prepared.info)
    if ranks.is_split:
        # Parts as they are found; what a plan makes of them is fitted to the whole model besides.
        split = prepared.graph()
        split_layers(split, {"layer3.conv": ranks}, prepared.seen((), ["layer3.conv"], feeds))
    else:
        split = prepared.structured({"layer3.conv": ranks}, feeds).graph()
    save_model(split, folder / "split.onnx")
    return model_divergence(source, folder / "split.onnx", feeds).mean


def test_a_rank_of_the_outputs_does_what_the_split_model_does(table, source, tmp_path) -> None:
    (rank, *_) = table.layer("layer3.conv").ranks
    found = split_alone(source, Structure(rank.rank), tmp_path)
    assert rank.divergence == pytest.approx(found, rel=0.01)
    assert found > 0.01


def test_a_rank_of_the_inputs_does_what_the_split_model_does(table, source, tmp_path) -> None:
    (rank, *_) = table.layer("layer3.conv").input_ranks
    found = split_alone(source, Structure(0, rank.rank), tmp_path)
    assert rank.divergence == pytest.approx(found, rel=0.01)
    assert found > 0.01


def test_fewer_channels_do_what_the_model_with_fewer_does(table, source, tmp_path) -> None:
    (fewest, *_) = table.layer("layer3.conv").channels
    found = split_alone(source, Structure(channels=fewest.rank), tmp_path)
    assert fewest.divergence == pytest.approx(found, rel=0.01)
    assert found > 0.01


def test_higher_ranks_lose_less(table) -> None:
    for row in table.layers:
        for side in (row.ranks, row.input_ranks, row.channels):
            noises = [each.noise for each in side]
            assert noises == sorted(noises, reverse=True)


def test_layers_that_cannot_be_split_have_no_ranks(table) -> None:
    assert table.layer("layer6.conv").channels == ()
    assert table.layer("layer6.conv").ranks == ()
    assert table.layer("layer5.conv").input_ranks == ()


def test_rows_are_read_back_and_say_nothing_where_nothing_was_asked(table, source) -> None:
    for row in table.layers:
        assert LayerSensitivity.from_json(_fields(row.to_json())) == row
    plain = analyze(source, CLIPS, AnalysisSettings(metrics=(), divergence=DIVERGENCE))
    assert not any("ranks" in row.to_json() for row in plain.layers)
    assert "ranks" not in plain.settings


def test_an_interrupted_analysis_goes_on_with_what_is_known(table, source, tmp_path) -> None:
    assert analyze(source, CLIPS, SETTINGS, cache=tmp_path).layers == table.layers
    for path in tmp_path.rglob("*.json"):
        if '"layers"' in path.read_text():
            path.unlink()
    assert analyze(source, CLIPS, SETTINGS, cache=tmp_path).layers == table.layers


def _fields(row: dict[str, object]):
    from quantkit.json_fields import Fields

    return Fields(row, "the row")
