"""Keyword spotters: clips in, one log-probability per class out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from quantkit.arrays import FloatArray
from quantkit.errors import ModelError
from quantkit.graph.artifact import read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.clip_parts import clip_parts
from quantkit.runtime.padding import padded_batch, runs_of
from quantkit.runtime.recognizer import require_values
from quantkit.runtime.session import create_session
from quantkit.runtime.speech_model import Output, SpeechModel, run_session
from quantkit.text.scoring import KeywordScoring


class Classifier(SpeechModel):
    """A classification artifact that is ready to run."""

    def __init__(self, info: ArtifactInfo, session: onnxruntime.InferenceSession) -> None:
        super().__init__(info)
        self.session = session

    @classmethod
    def load(cls, path: Path, threads: int = 1, *, check: bool = True) -> Classifier:
        """Open the artifact at ``path``; see :meth:`~quantkit.runtime.recognizer.Recognizer.load`.

        Raises:
            ModelError: the file is damaged, does not load, or does not have a classifier's values.
        """
        info = read_info(path, check=check)
        session = create_session(path, threads=threads)
        require_values(path, info, session, ("log_probs",))
        return cls(info, session)

    @property
    def scoring(self) -> KeywordScoring:
        """Its classes.

        Raises:
            ModelError: the artifact does not name them.
        """
        if not self.info.classes:
            raise ModelError(
                "the model does not name its classes (metadata `quantkit.labels`); make it with "
                "`quantkit export`"
            )
        return KeywordScoring(self.info.classes)

    def outputs(self, batch: Sequence[FloatArray]) -> list[Output]:
        """(classes,) natural log-probabilities of each clip."""
        shape = self.session.get_inputs()[0].shape
        parts = [clip_parts(clip, self.info)[0] for clip in batch]
        found: list[Output] = []
        for group in runs_of(parts, shape):
            padded, lengths = padded_batch(group, shape[2:])
            name = "waveform" if self.info.fused else "features"
            feed: dict[str, Output] = {name: padded, "lengths": lengths}
            (log_probs,) = run_session(self.session, ["log_probs"], feed)
            found.extend(log_probs)
        return found

    def text_of(self, output: Output) -> str:
        """The most likely class."""
        return self.scoring.classes[int(output.argmax())]

    def problem_of(self, output: Output) -> str:
        """Another shape than (classes,), or NaN."""
        classes = len(self.scoring.classes)
        if output.shape != (classes,):
            return f"shape {output.shape}, not ({classes},)"
        return "" if np.isfinite(output).all() else "numbers that are not finite"

    def loss(self, output: Output, reference: str) -> float | None:
        """Cross entropy; None where ``reference`` is no class."""
        classes = self.scoring.classes
        return -float(output[classes.index(reference)]) if reference in classes else None
