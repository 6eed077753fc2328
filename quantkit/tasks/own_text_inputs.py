"""What encoders with a greedy decoder take for clips without transcripts: the clips, and the text
that the float model itself writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np

from quantkit.arrays import Array
from quantkit.audio.features import checked_windows
from quantkit.audio.utterance import Corpus
from quantkit.errors import AudioError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.encoder_decoder.model import GreedyModel
from quantkit.tasks.inputs import ClipInputs, Feed, Portion

#: What an encoder takes as it is analysed, by whether it takes samples.
HEARD = {True: "waveform", False: "features"}


class OwnTextInputs(ClipInputs):
    """Each clip alone, a long one in pieces, with the tokens that the float model writes.

    Args:
        kind: what opens the float model.
    """

    def __init__(
        self, kind: type[GreedyModel], info: ArtifactInfo, model: Path | None = None
    ) -> None:
        super().__init__(info, model)
        self._kind = kind
        self._later_pieces: set[str] = set()
        # Results that the next round uses again, by the name of the piece.
        self._texts: dict[str, tuple[int, ...]] = {}

    def feeds(self, corpus: Corpus, skipped: list[str]) -> Iterator[Feed]:
        """One feed for each clip or piece.

        Raises:
            ModelError: the float model is not at hand, or is of another kind.
            CorpusError: at the end, when not a single clip was usable.
        """
        if self.model is None:
            raise ModelError(
                f"calibrating {self._kind.kind} needs the path of the float model: its decoder is "
                "observed on the text that the model itself writes"
            )
        model = self._kind.load(self.model, threads=0, check=False)
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
                    clip, prompt = model.features(samples), model.prompt(utterance.language)
                    if name not in self._texts:
                        self._texts[name] = model.text_tokens(clip, utterance.language)
                    tokens = [*prompt, *self._texts[name]]
                    usable = True
                    yield (
                        name,
                        {
                            HEARD[self.info.fused]: clip[None],
                            "tokens": np.array([tokens]),
                            # Of the prompt only the last token asks for anything.
                            "positions": np.arange(len(prompt) - 1, len(tokens)),
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
        if self.info.fused:
            return Portion(recordings, inputs[HEARD[True]].shape[1] / frontend.sample_rate)
        return Portion(recordings, frontend.seconds_of(inputs[HEARD[False]].shape[1]))

    def unknown_languages(self, codes: Collection[str]) -> tuple[str, ...]:
        """Those that the model cannot be told."""
        known = self._kind.languages_of(self.info)
        return () if known is None else tuple(code for code in codes if code not in known)
