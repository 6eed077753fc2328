"""What a transducer takes for clips without transcripts: features, and the path that the float
model itself takes through them.

Only the points of the path count: the joiner is asked for no other frame and text. Each comes with
the states that the float model's predictor has there, so all points are computed at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from quantkit.arrays import Array
from quantkit.audio.features import feature_windows
from quantkit.audio.utterance import Corpus
from quantkit.errors import AudioError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.transducer.model import Transducer
from quantkit.runtime.transducer.search import greedy_path
from quantkit.tasks.inputs import ClipInputs, Feed, Portion


class TransducerInputs(ClipInputs):
    """Each clip alone; a long one in pieces."""

    def __init__(self, info: ArtifactInfo, model: Path | None = None) -> None:
        super().__init__(info, model)
        self._later_pieces: set[str] = set()

    def feeds(self, corpus: Corpus, skipped: list[str]) -> Iterator[Feed]:
        """One feed for each clip or piece.

        Raises:
            ModelError: the float model is not at hand, or carries no front end.
            CorpusError: at the end, when not a single clip was usable.
        """
        if self.model is None or self.info.frontend is None:
            raise ModelError(
                "calibrating a transducer needs the path of the float model, and its front end: "
                "its predictor and joiner are observed on the labels that the model itself writes"
            )
        model = Transducer.load(self.model, threads=0, check=False)
        self.steady.clear()
        usable = False
        for utterance in corpus:
            windows = feature_windows(utterance, self.info.frontend, self.check, skipped)
            try:
                for name, features in windows:
                    if name != utterance.identifier:
                        self._later_pieces.add(name)
                    inputs = _path_through(model, features)
                    usable = True
                    yield name, inputs
            except AudioError as error:
                skipped.append(str(error))
        if not usable:
            raise corpus.none_usable(skipped)

    def portion(self, clip: str, inputs: Mapping[str, Array]) -> Portion:
        """One clip or a piece of one."""
        recordings = 0 if clip in self._later_pieces else 1
        frontend = self.info.frontend
        if frontend is None or not inputs:
            return Portion(recordings, 0.0)
        return Portion(recordings, frontend.seconds_of(inputs["features"].shape[1]))


def _path_through(model: Transducer, features: Array) -> dict[str, Array]:
    """Inputs of all graphs for a clip of (frames, bands)."""
    (encoded,) = model.network.encode([features])
    labels = model.labels
    path = [*greedy_path(model.network, encoded, len(labels), labels.blank)]
    if not path:
        raise AudioError("a clip is shorter than one frame of the encoder")
    memories = [point.step.memory for point in path]
    return {
        "features": features[None],
        "lengths": np.array([len(features)]),
        "frames": np.array([point.frame for point in path]),
        "tokens": np.array([memory.tokens for memory in memories]),
        **model.network.along_batch([memory.states for memory in memories]),
    }
