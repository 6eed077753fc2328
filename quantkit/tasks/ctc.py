"""CTC models: text from log-probabilities of labels for each frame (Graves et al., 2006)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quantkit.tasks.base import Adoption, Task, labels_and_frontend
from quantkit.tasks.names import CTC

if TYPE_CHECKING:
    from quantkit.arrays import Array
    from quantkit.audio.frontends import AnyFrontend
    from quantkit.graph.info import ArtifactInfo
    from quantkit.runtime.recognizer import Recognizer
    from quantkit.text.decoding import Decoding
    from quantkit.text.labels import Labels
    from quantkit.text.scoring import TextScoring


def _labels(file: Path, outputs: int, blank: int | None) -> dict[str, Any]:
    from quantkit.text.label_files import ctc_labels_of

    return {"labels": ctc_labels_of(file, outputs, blank)}


class CtcTask(Task):
    """One graph from ``features`` or ``waveform`` to ``log_probs`` and ``output_lengths``."""

    name = CTC
    unit = "frame"
    adoption: ClassVar[Adoption | None] = Adoption(per_frame=True, meaning=_labels)
    follows = frozenset(("decoder", "width", "language_model", "lm_weight", "word_score", "words"))

    def text_of(
        self, info: ArtifactInfo, posteriors: Array, inputs: Mapping[str, Array]
    ) -> str | None:
        """Decoded greedily."""
        from quantkit.text.decoders import greedy_decoder

        rows = posteriors.reshape(-1, posteriors.shape[-1])
        if info.labels is None or len(info.labels) != rows.shape[1] or np.isnan(rows).any():
            return None
        return greedy_decoder(info.labels)(rows)

    def scoring(self, info: ArtifactInfo) -> TextScoring | None:
        """In its alphabet."""
        from quantkit.text.scoring import LabelScoring

        return None if info.labels is None else LabelScoring(info.labels)

    def open(
        self, path: Path, threads: int = 1, *, check: bool = True, decoding: Decoding | None = None
    ) -> Recognizer:
        """See :meth:`~quantkit.runtime.recognizer.Recognizer.load`."""
        from quantkit.runtime.recognizer import Recognizer

        return Recognizer.load(path, threads, check=check, decoding=decoding)

    def can_run(self, info: ArtifactInfo) -> bool:
        """With labels and a front end."""
        return info.labels is not None and info.frontend is not None

    def bundle_contents(self, info: ArtifactInfo, model: Path) -> tuple[Labels, AnyFrontend]:
        """Its labels and its front end."""
        return labels_and_frontend(info, model)
