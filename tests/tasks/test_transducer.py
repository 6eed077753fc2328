"""A transducer of a published folder goes through every step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import quantkit
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.errors import InputError, ModelError
from quantkit.graph.artifact import graph_roles, load_model, model_files, read_info
from quantkit.graph.joined import repeated_nodes
from quantkit.runtime.output_scale import scale_of
from quantkit.sensitivity.model_divergence import compare_models, model_divergence
from quantkit.sensitivity.posteriors import frame_weights
from quantkit.tasks.catalogue import task_named
from quantkit.text.decoding import Decoding
from tests.exporting.folders.small_folders import LETTERS, write_icefall, write_nemo

REPOSITORY = Path(__file__).resolve().parents[2]
TASK = task_named("transducer")


@pytest.fixture(scope="module")
def speech() -> Corpus:
    return open_corpus(REPOSITORY / "calibration_data").sample(4)


@pytest.fixture(scope="module", params=["tdt", "icefall"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(str(request.param))
    write = write_nemo if request.param == "tdt" else write_icefall
    return quantkit.export(write(folder / "published"), folder / "float32.onnx").path


@pytest.fixture(scope="module")
def feeds(source: Path, speech: Corpus) -> CalibrationData:
    return CalibrationData(speech, read_info(source), source)


def test_its_graphs_are_those_of_a_transducer(source: Path) -> None:
    roles = tuple(role.role for role in graph_roles(source))
    assert TASK.has_roles(roles)
    assert not TASK.has_roles(("encoder",))
    names = {name.split(".")[0] for name in repeated_nodes(load_model(source))}
    assert names - {"adopted"} == {*roles[1:]}


def test_all_points_of_the_path_are_computed_at_once(source: Path, feeds: CalibrationData) -> None:
    """As the runner computes them one after the other."""
    for _, inputs in feeds:
        assert len(inputs["frames"]) == len(inputs["tokens"])
    assert compare_models(source, source, feeds).divergence.mean < 1e-6


def test_its_text_is_that_of_the_path(source: Path, feeds: CalibrationData) -> None:
    comparison = compare_models(source, source, feeds)
    assert comparison.changes is not None
    assert comparison.changes.clips == feeds.clips
    assert not comparison.changes.examples


def test_a_path_with_nan_has_no_text(source: Path) -> None:
    info = read_info(source)
    rows = np.full((1, 2, len(LETTERS) + 1), np.nan, np.float32)
    assert TASK.text_of(info, rows, {}) is None


def test_labels_and_durations_add_up(tmp_path: Path, speech: Corpus) -> None:
    source = quantkit.export(write_nemo(tmp_path / "tdt"), tmp_path / "x.onnx").path
    feeds = CalibrationData(speech, read_info(source), source)
    ((_, rows), *_) = TASK.posteriors(source, "log_probs", feeds)
    np.testing.assert_allclose(np.exp(rows).sum(axis=-1), 2.0, rtol=1e-5)
    assert scale_of(rows) == "log-probabilities"
    # Nor is a duration taken for the label of no speech.
    (weights,) = frame_weights([rows[0]], "spoken")
    np.testing.assert_allclose(weights, 1.0)


def test_a_quantized_one_is_near(source: Path, feeds: CalibrationData, tmp_path: Path) -> None:
    small = quantkit.quantize(source, tmp_path / "small.onnx", "dynamic-int8").path
    assert model_files(small)[0] == small
    assert 0.0 < model_divergence(source, small, feeds).mean < 0.1


@pytest.mark.slow
def test_it_is_personalised_within_a_budget_over_all_files(
    source: Path, speech: Corpus, tmp_path: Path
) -> None:
    folder = source.parent / "published"
    whole = sum(path.stat().st_size for path in folder.rglob("*.onnx"))
    made = quantkit.personalize(folder, tmp_path / "user", speech, whole // 3, cache=False)
    size = sum(path.stat().st_size for path in (tmp_path / "user").rglob("*.onnx"))
    assert made.summary.size_bytes == size <= whole // 3
    assert made.plan.predicted_bytes == size
    assert made.summary.destination == tmp_path / "user"
    parts = made.summary.parts
    assert [part.role for part in parts] == [role.role for role in graph_roles(source)]
    assert sum(part.bytes for part in parts) == size
    # Each costs something, and none more than all together and the noise.
    assert all(part.divergence > 0 for part in parts)
    assert any("encoder alone" in line for line in made.summary.parts_in_words())


def test_other_searches_and_languages_are_refused(source: Path) -> None:
    with pytest.raises(InputError, match="greedy or beam, not by 'ctcdecode'"):
        quantkit.load(source, decoding=Decoding("ctcdecode"))
    with pytest.raises(InputError, match="no use for a language model"):
        quantkit.load(source, decoding=Decoding("beam", language_model=source))
    with pytest.raises(InputError, match="no use for a translation"):
        quantkit.load(source, decoding=Decoding(translate=True))


def test_without_the_float_model_it_cannot_be_calibrated(source: Path, speech: Corpus) -> None:
    with pytest.raises(ModelError, match="needs the path of the float model"):
        next(iter(CalibrationData(speech, read_info(source))))


def test_clips_of_one_batch_are_heard_as_if_they_were_alone(source: Path, speech: Corpus) -> None:
    from quantkit.tasks.open import open_speech_model

    model = open_speech_model(source)
    clips = [model.features(clip) for clip in speech]
    alone = [model.text_of(model.outputs([clip])[0]) for clip in clips]
    together = [model.text_of(output) for output in model.outputs(clips)]
    assert together == alone
