"""A model that hears in chunks goes through every step as it is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import quantkit
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.errors import ModelError
from quantkit.graph.artifact import graph_roles, read_info
from quantkit.runtime.streaming.model import features_in_chunks
from quantkit.runtime.streaming.settings import streaming_settings
from quantkit.sensitivity.model_divergence import compare_models
from quantkit.tasks.catalogue import task_of
from quantkit.tasks.streaming_inputs import chunks_in
from tests.once import made_once
from tests.streaming_model import write_both

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "streaming", write_both) / "stream.onnx"


@pytest.fixture(scope="module")
def speech() -> Corpus:
    return open_corpus(REPOSITORY / "calibration_data").sample(4)


@pytest.fixture(scope="module")
def feeds(source: Path, speech: Corpus) -> CalibrationData:
    return CalibrationData(speech, read_info(source), source)


@pytest.fixture(scope="module")
def small(source: Path, speech: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "static.onnx"
    return quantkit.quantize(source, path, "static-int8", speech).path


def test_a_clip_is_heard_with_the_features_of_its_chunks(
    source: Path, speech: Corpus, feeds: CalibrationData
) -> None:
    info = read_info(source)
    settings = streaming_settings(info.extra)
    assert info.frontend is not None
    for utterance, (clip, inputs) in zip(speech, feeds, strict=True):
        assert clip == utterance.identifier
        samples = load_waveform(utterance, 16_000)
        features = features_in_chunks([samples], info.frontend, settings)
        (length,) = inputs["lengths"]
        assert int(length) == len(features)
        np.testing.assert_array_equal(inputs["features"][0, : len(features)], features)
        assert inputs["features"].shape[1] == settings.runs_for(len(features)) * settings.shift
        assert not inputs["state.layer3"].any()
    assert feeds.seconds == pytest.approx(speech.seconds, abs=0.2)
    assert feeds.recordings == len(speech)


def test_a_feed_holds_the_chunks_of_a_stream(source: Path, feeds: CalibrationData) -> None:
    settings = streaming_settings(read_info(source).extra)
    (_, inputs), *_ = feeds
    chunks = [*chunks_in(inputs, settings)]
    assert {len(chunk.features) for chunk in chunks} == {16}
    lengths = [chunk.length for chunk in chunks]
    assert sum(lengths) == int(inputs["lengths"][0])
    assert lengths == sorted(lengths, reverse=True)


def test_the_float_model_differs_from_itself_by_nothing(
    source: Path, feeds: CalibrationData
) -> None:
    """All chunks at once, and chunk by chunk."""
    found = compare_models(source, source, feeds)
    assert found.divergence.mean < 1e-9
    assert found.changes is not None
    assert found.changes.examples == ()


def test_rows_that_are_none_of_the_clip_do_not_count(source: Path, feeds: CalibrationData) -> None:
    from quantkit.sensitivity.posteriors import counting, log_posteriors

    ((clip, rows), *_) = task_of(read_info(source)).posteriors(source, "log_probs", feeds)
    ((_, inputs), *_) = feeds
    counts = counting(log_posteriors(rows, "log-probabilities", clip))
    valid = int(inputs["lengths"][0]) // 2 + 1
    assert counts.sum() == valid
    assert counts[48 : 48 + valid].all()


def test_a_static_model_keeps_its_states_and_says_nearly_the_same(
    source: Path, small: Path, feeds: CalibrationData
) -> None:
    assert graph_roles(small)[0].states == graph_roles(source)[0].states
    assert {layer.compute for layer in quantkit.inspect(small).layers} == {"static"}
    assert small.stat().st_size < 0.6 * source.stat().st_size
    assert 0.0 < compare_models(source, small, feeds).divergence.mean < 0.05


def test_nothing_rounds_a_cache_between_two_chunks(small: Path, feeds: CalibrationData) -> None:
    """So it does not matter in which chunks a static model hears a clip."""
    from dataclasses import replace

    from quantkit.runtime.streaming.chunks import chunks_of
    from quantkit.runtime.streaming.network import ChunkNetwork
    from quantkit.runtime.streaming.recognizer import CtcHearing

    info = read_info(small)
    assert info.labels is not None
    settings = streaming_settings(info.extra)
    (_, inputs), *_ = feeds
    features = inputs["features"][0, : int(inputs["lengths"][0])]
    found = []
    for chunk in (2, 16, 400):
        network = ChunkNetwork.load(small, replace(settings, chunk=chunk, shift=chunk))
        hearing = CtcHearing(network, info.labels)
        for each in chunks_of(features, network.settings, np.zeros(40, np.float32)):
            hearing.accept(each)
        found.append(hearing.finished())
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    np.testing.assert_allclose(found[0], found[2], atol=1e-5)


@pytest.mark.slow
def test_it_is_personalised_to_a_budget(source: Path, speech: Corpus, tmp_path: Path) -> None:
    made = quantkit.personalize(source, tmp_path / "user.onnx", speech, 60_000)
    assert (tmp_path / "user.onnx").stat().st_size <= 60_000
    # What the analysis foretells, and what the file does chunk by chunk, is of one size.
    summary = made.summary
    assert summary.predicted_divergence == pytest.approx(
        summary.measured_divergence, abs=2e-4, rel=3.0
    )
    stream = quantkit.stream(tmp_path / "user.onnx", 8_000)
    assert isinstance(stream.accept(np.zeros(8_000, np.int16)), str)


def test_calibration_needs_the_float_model(source: Path) -> None:
    with pytest.raises(ModelError, match="needs the path of the float model"):
        next(iter(CalibrationData(open_corpus(REPOSITORY / "calibration_data"), read_info(source))))
