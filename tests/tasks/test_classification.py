"""What there is to know about classifiers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.errors import ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.tasks.classification import ClassificationTask

TASK = ClassificationTask()
WHOLE = ArtifactInfo(classes=("yes", "no"), frontend=WaveformFrontend(), fused=True)


def test_its_posteriors_are_of_clips_and_it_hears_more_of_them() -> None:
    assert (TASK.unit, TASK.roles) == ("clip", ("model",))
    assert TASK.patience > 1


def test_it_can_run_with_the_names_of_its_classes() -> None:
    assert TASK.can_run(WHOLE)
    assert not TASK.can_run(ArtifactInfo(frontend=WaveformFrontend()))


def test_a_bundle_of_it_has_its_classes_as_labels() -> None:
    labels, frontend = TASK.bundle_contents(WHOLE, Path("m.onnx"))
    assert (labels.tokens, labels.per_clip) == (WHOLE.classes, True)
    assert frontend == WHOLE.frontend
    with pytest.raises(ModelError, match="carries no names of classes"):
        TASK.bundle_contents(replace(WHOLE, classes=()), Path("m.onnx"))


def test_a_file_of_names_says_what_an_adopted_model_means(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("yes\nno\n")
    assert not TASK.adoption.per_frame
    assert TASK.adoption.meaning(tmp_path / "labels.txt", 2, None) == {"classes": ("yes", "no")}
