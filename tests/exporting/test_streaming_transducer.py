"""Nemotron streaming from transformers: heard in chunks, it writes what transformers writes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import quantkit
from quantkit.api.inputs import corpus_of
from quantkit.audio.nemo_frontend import NemoRawFrontend
from quantkit.errors import InputError
from quantkit.exporting.sources import ExportOptions, export_source
from quantkit.graph.artifact import graph_roles, read_info, total_size
from quantkit.graph.single_file import single_file
from quantkit.runtime.session import create_session
from quantkit.runtime.streaming.settings import streaming_settings
from quantkit.tasks.catalogue import task_of
from quantkit.tasks.open import open_speech_model
from tests.nemotron import AHEAD, said_by_transformers, save, tiny
from tests.parakeet import noise

pytestmark = pytest.mark.slow

CLIPS = noise(0.9, 2.3, 1.6)


class Exported(NamedTuple):
    model: Any
    folder: Path
    path: Path
    parity: Any


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    place, model = tmp_path_factory.mktemp("nemotron"), tiny()
    folder, path = save(place / "theirs", model), place / "ours.onnx"
    return Exported(model, folder, path, export_source(str(folder), path, ExportOptions()))


def streamed(path: Path, piece: int) -> list[str]:
    """The texts of clips that come in pieces of so many samples."""
    texts = []
    for clip in CLIPS:
        session = quantkit.stream(path, sample_rate=16_000)
        for begin in range(0, len(clip), piece):
            session.accept(clip[begin : begin + piece])
        texts.append(session.finish())
    return texts


def test_chunks_and_whole_clips_get_what_transformers_gives_them(exported: Exported) -> None:
    assert exported.parity.worst.difference < 1e-4
    found = [case.where for case in exported.parity.cases]
    assert sum("chunk by chunk" in where for where in found) == 1
    assert sum("whole" in where for where in found) > 5


def test_greedy_texts_are_those_of_transformers(exported: Exported) -> None:
    expected = [said_by_transformers(exported.model, clip) for clip in CLIPS]
    assert len({*expected}) == len(CLIPS)
    model = open_speech_model(exported.path)
    outputs = model.outputs([model.features(clip) for clip in CLIPS])
    assert [model.text_of(output) for output in outputs] == expected
    assert streamed(exported.path, 1_111) == expected


def test_metadata_describe_the_model(exported: Exported) -> None:
    info = read_info(exported.path)
    assert (info.task, info.licence) == ("streaming-transducer", "cc-by-4.0")
    assert info.frontend == NemoRawFrontend(mel_bands=16)
    settings = streaming_settings(info.extra)
    # A row sees the frames up to its own; before the first there are seven of silence.
    assert (settings.chunk, settings.stride, settings.lead) == (8 * (AHEAD + 1), 8, 7)
    roles = [role.role for role in graph_roles(exported.path)]
    assert roles == ["encoder", "predictor", "joiner"]


def test_a_clip_at_once_gives_what_its_chunks_give(exported: Exported) -> None:
    info = read_info(exported.path)
    task = task_of(info)
    inputs = task.inputs(info, exported.path)
    ((_, feed),) = inputs.feeds(corpus_of(CLIPS[:1], 16_000), [])
    with single_file(exported.path) as whole:
        session = create_session(whole)
    at_once = session.run(["log_probs"], dict(feed))[0]
    ((_, found),) = task.posteriors(exported.path, "log_probs", [("clip", feed)])
    np.testing.assert_allclose(at_once, found, atol=1e-4)


def test_it_is_personalised_to_a_budget(exported: Exported, tmp_path: Path) -> None:
    budget = round(0.75 * total_size(exported.path))
    made = quantkit.personalize(
        exported.path, tmp_path / "user.onnx", CLIPS, f"{budget}B", sample_rate=16_000
    )
    assert made.summary.size_bytes <= budget
    assert any(streamed(tmp_path / "user.onnx", 1_600))


def test_other_chunks_are_those_that_it_was_trained_with(
    exported: Exported, tmp_path: Path
) -> None:
    path = tmp_path / "short.onnx"
    export_source(str(exported.folder), path, ExportOptions(chunk=0.08))
    expected = [said_by_transformers(exported.model, clip, ahead=0) for clip in CLIPS]
    assert streamed(path, 1_600) == expected
    with pytest.raises(InputError, match="chunks of 80, 240 ms, and not of 320 ms"):
        export_source(str(exported.folder), tmp_path / "x.onnx", ExportOptions(chunk=0.32))


def test_filters_of_less_precision_are_refused(exported: Exported, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported.folder, tmp_path / "theirs"))
    config = folder / "preprocessor_config.json"
    config.write_text(config.read_text().replace('"float32"', '"bfloat16"'))
    with pytest.raises(InputError, match="mel_filters_dtype is 'bfloat16'"):
        export_source(str(folder), tmp_path / "x.onnx", ExportOptions())
