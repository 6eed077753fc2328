"""Moonshine artifacts: clips in, English text out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.windows import LONGEST_SECONDS, WINDOW_SECONDS, pieces
from quantkit.errors import InputError
from quantkit.graph.artifact import read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.encoder_decoder import open_network
from quantkit.runtime.moonshine.search import greedy_text
from quantkit.runtime.moonshine.settings import moonshine_settings
from quantkit.runtime.speech_model import Output, SpeechModel
from quantkit.runtime.whisper.network import WhisperNetwork
from quantkit.text.decoding import Decoding
from quantkit.text.scoring import WrittenTextScoring


class MoonshineModel(SpeechModel):
    """A Moonshine that is ready to run.

    Args:
        network: its sessions.
        decoding: only greedy search.

    Raises:
        ModelError: the artifact has no labels, or does not say how it is decoded.
        InputError: a decoder that it has not.
    """

    def __init__(
        self, info: ArtifactInfo, network: WhisperNetwork, decoding: Decoding | None = None
    ) -> None:
        super().__init__(info)
        if decoding is not None and decoding.decoder != "greedy":
            raise InputError(f"a Moonshine is decoded greedily, not by {decoding.decoder!r}")
        self.end = self.labels.blank
        self.settings = moonshine_settings(info.extra)
        self.network = network

    @classmethod
    def load(
        cls,
        path: Path,
        threads: int = 1,
        *,
        check: bool = True,
        decoding: Decoding | None = None,
    ) -> MoonshineModel:
        """Open the artifact at ``path``, an encoder, and the decoder beside it.

        Raises:
            ModelError: a file is missing or damaged, does not load, or is no Moonshine.
        """
        info = read_info(path, check=check)
        return cls(info, open_network(path, threads, info), decoding)

    @property
    def scoring(self) -> WrittenTextScoring:
        """As people write."""
        return WrittenTextScoring()

    @property
    def decoder_in_words(self) -> str:
        """Always greedy."""
        return "greedy"

    @property
    def takes_batches(self) -> bool:
        """Never: each text is as long as it is."""
        return False

    @property
    def longest_input(self) -> int | None:
        """40 seconds."""
        return round(LONGEST_SECONDS * self.steps_per_second)

    def outputs(self, batch: Sequence[FloatArray]) -> list[Output]:
        """For each clip (tokens, 2): a token, and the number of the piece that it was heard in.

        A clip beyond 40 seconds is heard in pieces of 30.
        """
        return [self._tokens([clip]) for clip in batch]

    def long_output(self, blocks: Iterator[FloatArray]) -> Output:
        """In pieces of 30 seconds."""
        return self._tokens(blocks)

    def _tokens(self, blocks: Iterable[FloatArray]) -> Output:
        rate = self.frontend.sample_rate
        parts = pieces(blocks, round(LONGEST_SECONDS * rate), round(WINDOW_SECONDS * rate))
        rows = [
            (token, place) for place, part in enumerate(parts) for token in self.text_tokens(part)
        ]
        return np.array(rows, np.int64).reshape(-1, 2)

    def text_tokens(self, waveform: FloatArray) -> tuple[int, ...]:
        """The tokens of one clip of (samples,)."""
        return greedy_text(
            self.network,
            self.network.encode(waveform[None]),
            self.settings.start,
            self.end,
            self.settings.longest_text(len(waveform) / self.frontend.sample_rate),
        )

    def text_of(self, output: Output) -> str:
        """The texts of all pieces."""
        texts = (
            self.labels.decode(output[output[:, 1] == place, 0].tolist()).strip()
            for place in np.unique(output[:, 1])
        )
        return " ".join(text for text in texts if text)
