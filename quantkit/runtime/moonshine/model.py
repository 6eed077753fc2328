"""Moonshine artifacts: clips in, English text out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.windows import LONGEST_SECONDS, WINDOW_SECONDS, pieces
from quantkit.errors import InputError
from quantkit.graph.artifact import model_files, read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.encoder_decoder import open_network, require_readable_attention
from quantkit.runtime.moonshine.search import greedy_text
from quantkit.runtime.moonshine.settings import moonshine_settings
from quantkit.runtime.speech_model import Output, SpeechModel
from quantkit.runtime.whisper.cross_attention import CrossAttention, alignment_heads_of
from quantkit.runtime.whisper.network import States, WhisperNetwork
from quantkit.runtime.whisper.timing import TokenTimer, waveform_levels
from quantkit.text.decoding import Decoding
from quantkit.text.scoring import WrittenTextScoring
from quantkit.text.words import Word, words_of_labels

#: A token; the number of the piece that it was heard in; when it was said, in seconds of the clip,
#: and the natural logarithm of its probability, none of which are numbers where nobody asked.
TOKEN = np.dtype(
    [
        ("token", np.int64),
        ("piece", np.int64),
        ("start", np.float64),
        ("end", np.float64),
        ("log_prob", np.float64),
    ]
)
# Samples from one step of the encoder to the next: its convolutions go 64 by 3 by 2. The middle of
# the 895 samples that a step hears is 447 behind its begin, so as many of them lie on either side.
_HOP, _FIRST = 384, 255


class MoonshineModel(SpeechModel):
    """A Moonshine that is ready to run.

    Args:
        network: its sessions.
        decoding: only greedy search.
        attention: what times of words are found by; None: there are none.

    Raises:
        ModelError: the artifact has no labels, or does not say how it is decoded.
        InputError: a decoder that it has not.
    """

    def __init__(
        self,
        info: ArtifactInfo,
        network: WhisperNetwork,
        decoding: Decoding | None = None,
        attention: CrossAttention | None = None,
    ) -> None:
        super().__init__(info)
        if decoding is not None and decoding.decoder != "greedy":
            raise InputError(f"a Moonshine is decoded greedily, not by {decoding.decoder!r}")
        self.end = self.labels.blank
        self.settings = moonshine_settings(info.extra)
        self.network = network
        rate = self.frontend.sample_rate
        self._timer = (
            None if attention is None else TokenTimer(attention, _HOP / rate, _FIRST / rate)
        )

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
            InputError: times of words of one in its published form.
        """
        info = read_info(path, check=check)
        attention = None
        if decoding is not None and decoding.words:
            require_readable_attention(info, path)
            decoder = model_files(path)[1]
            attention = CrossAttention.load(decoder, alignment_heads_of(info), threads)
        return cls(info, open_network(path, threads, info), decoding, attention)

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
        """For each clip an array of :data:`TOKEN`.

        A clip beyond 40 seconds is heard in pieces of 30.
        """
        return [self._tokens([clip]) for clip in batch]

    def long_output(self, blocks: Iterator[FloatArray]) -> Output:
        """In pieces of 30 seconds."""
        return self._tokens(blocks)

    def _tokens(self, blocks: Iterable[FloatArray]) -> Output:
        rate = self.frontend.sample_rate
        parts = pieces(blocks, round(LONGEST_SECONDS * rate), round(WINDOW_SECONDS * rate))
        rows = []
        for place, part in enumerate(parts):
            encoded = self.network.encode(part[None])
            tokens = self._text_tokens(part, encoded)
            rows += [
                (token, place, *times)
                for token, times in zip(
                    tokens, self._times(part, encoded, tokens, place), strict=True
                )
            ]
        return np.array(rows, TOKEN)

    def _times(
        self, waveform: FloatArray, encoded: States, tokens: Sequence[int], place: int
    ) -> list[tuple[float, float, float]]:
        """Start, end and log-probability of each token of a piece."""
        if self._timer is None:
            return [(np.nan, np.nan, np.nan)] * len(tokens)
        begin = place * WINDOW_SECONDS
        levels = waveform_levels(waveform[_FIRST:], _HOP)
        return [
            (begin + each.start, begin + each.end, each.log_prob)
            for each in self._timer(encoded, (self.settings.start,), tokens, levels)
        ]

    def text_tokens(self, waveform: FloatArray) -> tuple[int, ...]:
        """The tokens of one clip of (samples,)."""
        return self._text_tokens(waveform, self.network.encode(waveform[None]))

    def _text_tokens(self, waveform: FloatArray, encoded: States) -> tuple[int, ...]:
        longest = self.settings.longest_text(len(waveform) / self.frontend.sample_rate)
        return greedy_text(self.network, encoded, self.settings.start, self.end, longest)

    def text_of(self, output: Output) -> str:
        """The texts of all pieces."""
        texts = (
            self.labels.decode(output["token"][output["piece"] == place].tolist()).strip()
            for place in np.unique(output["piece"])
        )
        return " ".join(text for text in texts if text)

    def words_of(self, output: Output, seconds: float) -> tuple[Word, ...]:
        """By the attention of the decoder to the audio."""
        said = output[~np.isnan(output["log_prob"])]
        rows = zip(
            *(said[name].tolist() for name in ("token", "start", "end", "log_prob")), strict=True
        )
        return words_of_labels(
            self.labels,
            (
                (token, min(seconds, start), min(seconds, end), sure)
                for token, start, end, sure in rows
            ),
        )
