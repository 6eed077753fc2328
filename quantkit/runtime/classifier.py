"""Keyword spotters: clips in, one log-probability per class out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from quantkit.arrays import FloatArray
from quantkit.audio.windows import LONGEST_SECONDS, WINDOW_SECONDS, pieces
from quantkit.errors import ModelError
from quantkit.graph.artifact import read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.clip_parts import clip_parts
from quantkit.runtime.padding import padded_batch, runs_of
from quantkit.runtime.recognizer import require_values
from quantkit.runtime.session import create_session
from quantkit.runtime.speech_model import Output, SpeechModel, require_rows, run_session
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
    def gives_posteriors(self) -> bool:
        """Always."""
        return True

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
        """(classes,) natural log-probabilities of each clip.

        A clip of more than 40 seconds gets the mean of the probabilities of its pieces.
        """
        longest = self.longest_input
        if longest is None or all(len(clip) <= longest for clip in batch):
            return self._at_once(batch)
        return [self._of_pieces([clip], longest) for clip in batch]

    def long_output(self, blocks: Iterator[FloatArray]) -> Output:
        """The mean of the probabilities of its pieces."""
        longest = self.longest_input
        if longest is None or not self.info.fused:
            return super().long_output(blocks)
        return self._of_pieces(blocks, longest)

    @property
    def longest_input(self) -> int | None:
        """40 seconds."""
        return round(LONGEST_SECONDS * self.steps_per_second) or None

    def _of_pieces(self, blocks: Iterable[FloatArray], longest: int) -> Output:
        size = round(WINDOW_SECONDS * self.steps_per_second)
        total = np.zeros(len(self.scoring.classes))
        steps = 0
        for piece in pieces(blocks, longest, size):
            total += len(piece) * np.exp(self._at_once([piece])[0])
            steps += len(piece)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(total / steps), np.float32)

    def _at_once(self, batch: Sequence[FloatArray]) -> list[Output]:
        if not batch:
            return []
        shape = self.session.get_inputs()[0].shape
        parts = [clip_parts(clip, self.info)[0] for clip in batch]
        found: list[Output] = []
        for group in runs_of(parts, shape):
            padded, lengths = padded_batch(group, shape[2:])
            name = "waveform" if self.info.fused else "features"
            feed: dict[str, Output] = {name: padded, "lengths": lengths}
            (log_probs,) = run_session(self.session, ["log_probs"], feed)
            require_rows(log_probs, len(group), 2, "log_probs")
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
