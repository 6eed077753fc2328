"""What there is to know about CTC models."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.audio.frontend import Frontend
from quantkit.errors import ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.tasks.corpus_inputs import CorpusInputs
from quantkit.tasks.ctc import CtcTask
from quantkit.text.labels import Labels

TASK = CtcTask()
WHOLE = ArtifactInfo(Labels(("_", "a")), Frontend(), task="ctc")


def test_its_posteriors_are_of_frames_of_one_graph() -> None:
    assert (TASK.unit, TASK.roles, TASK.fewest_feeds, TASK.patience) == ("frame", ("model",), 1, 1)
    assert isinstance(TASK.inputs(WHOLE), CorpusInputs)


def test_it_can_run_with_labels_and_a_front_end() -> None:
    assert TASK.can_run(WHOLE)
    assert not TASK.can_run(ArtifactInfo(frontend=Frontend()))
    assert not TASK.can_run(ArtifactInfo(WHOLE.labels))


def test_a_clip_has_a_shape_whatever_the_bands() -> None:
    assert TASK.clip_shape(["batch", "frames", 40], 7) == (1, 7, 40)
    assert TASK.clip_shape(["batch", "samples"], 7) == (1, 7)


def test_a_bundle_of_it_needs_both() -> None:
    assert TASK.bundle_contents(WHOLE, Path("m.onnx")) == (WHOLE.labels, WHOLE.frontend)
    with pytest.raises(ModelError, match="carries no labels"):
        TASK.bundle_contents(ArtifactInfo(frontend=Frontend()), Path("m.onnx"))
    with pytest.raises(ModelError, match="carries no front end"):
        TASK.bundle_contents(ArtifactInfo(WHOLE.labels), Path("m.onnx"))


def test_a_file_of_labels_says_what_an_adopted_model_means(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("_\na\nb\n")
    assert TASK.adoption.per_frame
    meaning = TASK.adoption.meaning(tmp_path / "labels.txt", 3, 0)
    assert meaning == {"labels": Labels(("_", "a", "b"))}
