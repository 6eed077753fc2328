"""Classifiers: one of some classes for each clip, such as keyword spotters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantkit.errors import ModelError
from quantkit.tasks.base import Adoption, Task
from quantkit.tasks.names import CLASSIFICATION

if TYPE_CHECKING:
    from quantkit.arrays import Array
    from quantkit.audio.frontends import AnyFrontend
    from quantkit.graph.info import ArtifactInfo
    from quantkit.runtime.classifier import Classifier
    from quantkit.text.decoding import Decoding
    from quantkit.text.labels import Labels
    from quantkit.text.scoring import TextScoring

# What data sets call the class of clips in which nobody speaks.
_SILENT_CLASSES = frozenset({"silence", "background", "background noise", "noise", "nonspeech"})


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
    # A command may name the decoder that models of other tasks are measured with.
    follows = frozenset(("decoder",))

    def text_of(
        self, info: ArtifactInfo, posteriors: Array, inputs: Mapping[str, Array]
    ) -> str | None:
        """The most likely class."""
        row = posteriors.reshape(-1)
        if row.size != len(info.classes) or np.isnan(row).any():
            return None
        return info.classes[int(row.argmax())]

    def says_nothing(self, text: str) -> bool:
        """Whether it is the class of silence, such as ``silence`` or ``_background_noise_``."""
        words = text.casefold().replace("_", " ").replace("-", " ").split()
        return " ".join(words) in _SILENT_CLASSES

    def scoring(self, info: ArtifactInfo) -> TextScoring | None:
        """By class."""
        from quantkit.text.scoring import KeywordScoring

        return KeywordScoring(info.classes) if info.classes else None

    def open(
        self, path: Path, threads: int = 1, *, check: bool = True, decoding: Decoding | None = None
    ) -> Classifier:
        """See :meth:`~quantkit.runtime.classifier.Classifier.load`."""
        from quantkit.runtime.classifier import Classifier

        return Classifier.load(path, threads, check=check)

    def can_run(self, info: ArtifactInfo) -> bool:
        """With the names of its classes and a front end."""
        return bool(info.classes) and info.frontend is not None

    def bundle_contents(self, info: ArtifactInfo, model: Path) -> tuple[Labels, AnyFrontend]:
        """Its classes and its front end."""
        from quantkit.text.labels import Labels

        if not info.classes or info.frontend is None:
            lacking = "front end" if info.classes else "names of classes"
            raise ModelError(
                f"{model} carries no {lacking}, so a bundle could not tell how to use it; "
                "make it with `quantkit export`"
            )
        return Labels.of_classes(info.classes), info.frontend

    def decoding_in_bundle(self, info: ArtifactInfo) -> dict[str, Any] | None:
        """One class for each clip."""
        return {"kind": self.name}
