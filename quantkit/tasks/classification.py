"""Classifiers: one of some classes for each clip, such as keyword spotters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantkit.tasks.base import Adoption, Task
from quantkit.tasks.names import CLASSIFICATION

if TYPE_CHECKING:
    from quantkit.graph.info import ArtifactInfo
    from quantkit.runtime.classifier import Classifier
    from quantkit.text.decoding import Decoding


def _classes(file: Path, outputs: int, _blank: int | None) -> dict[str, Any]:
    from quantkit.text.label_files import classes_of

    return {"classes": classes_of(file, outputs)}


class ClassificationTask(Task):
    """One graph from ``features`` or ``waveform`` to ``log_probs`` of the classes."""

    name = CLASSIFICATION
    unit = "clip"
    # A clip is a single row, and a few clips of those that the model is unsure of make up most of
    # the divergence.
    patience = 3.0
    adoption = Adoption(per_frame=False, meaning=_classes)

    def open(
        self, path: Path, threads: int = 1, *, check: bool = True, decoding: Decoding | None = None
    ) -> Classifier:
        """See :meth:`~quantkit.runtime.classifier.Classifier.load`."""
        from quantkit.runtime.classifier import Classifier

        return Classifier.load(path, threads, check=check)

    def can_run(self, info: ArtifactInfo) -> bool:
        """With the names of its classes and a front end."""
        return bool(info.classes) and info.frontend is not None
