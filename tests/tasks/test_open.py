"""An artifact is opened as what its metadata say that it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.errors import ModelError
from quantkit.graph.artifact import load_model, save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.graph.roles import DECODER_KEY, GRAPHS_KEY
from quantkit.runtime.recognizer import Recognizer
from quantkit.tasks.open import open_speech_model
from tests.small_model import masked_convolutions
from tests.tasks.transducer import Transducer, write_transducer


@pytest.fixture
def recogniser(tmp_path: Path) -> Path:
    save_model(masked_convolutions(), tmp_path / "ctc.onnx")
    return tmp_path / "ctc.onnx"


def test_by_its_task(recogniser: Path, tmp_path: Path) -> None:
    assert isinstance(open_speech_model(recogniser), Recognizer)
    assert isinstance(open_speech_model(write_transducer(tmp_path / "t.onnx")), Transducer)


def test_one_graph_is_not_listed(recogniser: Path) -> None:
    keys = {entry.key for entry in load_model(recogniser).metadata_props}
    assert not keys & {GRAPHS_KEY, DECODER_KEY}


def test_an_unknown_task_is_named_with_the_file(recogniser: Path) -> None:
    model = load_model(recogniser)
    set_info(model, ArtifactInfo(task="translation"))
    save_model(model, recogniser)
    with pytest.raises(ModelError, match=r"ctc\.onnx: it is a 'translation' model; known tasks"):
        open_speech_model(recogniser)


def test_graphs_of_another_task_are_refused(tmp_path: Path) -> None:
    path = write_transducer(tmp_path / "t.onnx")
    model = load_model(path)
    set_info(model, ArtifactInfo(task="whisper"))
    save_model(model, path)
    with pytest.raises(ModelError, match="has the graphs encoder, predictor, joiner, and a whisp"):
        open_speech_model(path)
