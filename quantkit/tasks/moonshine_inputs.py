"""What a Moonshine takes for clips without transcripts: waveforms, and its own text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from quantkit.arrays import Array
from quantkit.audio.features import checked_windows
from quantkit.audio.utterance import Corpus
from quantkit.errors import AudioError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.moonshine.model import MoonshineModel
from quantkit.tasks.inputs import ClipInputs, Feed, Portion


class MoonshineInputs(ClipInputs):
    """Each clip alone, a long one in pieces, with the tokens that the float model writes."""

    def __init__(self, info: ArtifactInfo, model: Path | None = None) -> None:
        super().__init__(info, model)
        self._later_pieces: set[str] = set()
        # Results that the next round uses again, by the name of the piece.
        self._texts: dict[str, tuple[int, ...]] = {}

    def feeds(self, corpus: Corpus, skipped: list[str]) -> Iterator[Feed]:
        """One feed for each clip or piece.

        Raises:
            ModelError: the float model is not at hand, or is no Moonshine.
            CorpusError: at the end, when not a single clip was usable.
        """
        if self.model is None:
            raise ModelError(
                "calibrating a Moonshine needs the path of the float model: its decoder is "
                "observed on the text that the model itself writes"
            )
        model = MoonshineModel.load(self.model, threads=0, check=False)
        rate, shortest = model.frontend.sample_rate, model.frontend.window
        self.steady.clear()
        usable = False
        for utterance in corpus:
            try:
                if not utterance.has_audio:
                    raise AudioError(f"{utterance.identifier}: has features only")
                for name, samples in checked_windows(utterance, rate, self.check, skipped):
                    if samples.size < shortest:
                        raise AudioError(f"{utterance.place}: too short for the model")
                    if name != utterance.identifier:
                        self._later_pieces.add(name)
                    if name not in self._texts:
                        self._texts[name] = model.text_tokens(samples)
                    tokens = [model.settings.start, *self._texts[name]]
                    usable = True
                    yield (
                        name,
                        {
                            "waveform": samples[None],
                            "tokens": np.array([tokens]),
                            "positions": np.arange(len(tokens)),
                            **model.network.first_states(),
                        },
                    )
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
        return Portion(recordings, inputs["waveform"].shape[1] / frontend.sample_rate)
