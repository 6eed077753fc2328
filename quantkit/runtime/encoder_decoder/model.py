"""Artifacts of an encoder and a decoder that writes greedily: clips in, text out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.windows import LONGEST_SECONDS, WINDOW_SECONDS, pieces
from quantkit.errors import InputError
from quantkit.graph.artifact import read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.encoder_decoder.greedy import greedy_text
from quantkit.runtime.encoder_decoder.network import Network, States
from quantkit.runtime.encoder_decoder.opening import open_network
from quantkit.runtime.speech_model import Output, SpeechModel
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


class GreedyModel(SpeechModel):
    """A model whose decoder takes the likeliest token at each step.

    Its labels are the tokens; the end of a text stands in the place of the blank.

    Args:
        network: its sessions.
        decoding: only greedy search.

    Raises:
        ModelError: the artifact has no labels, or does not say how it is decoded.
        InputError: a decoder that it has not.
    """

    #: What a model of it is called.
    kind: ClassVar[str]

    def __init__(
        self, info: ArtifactInfo, network: Network, decoding: Decoding | None = None
    ) -> None:
        super().__init__(info)
        if decoding is not None and decoding.decoder != "greedy":
            raise InputError(f"{self.kind} is decoded greedily, not by {decoding.decoder!r}")
        self.end = self.labels.blank
        self.network = network

    @classmethod
    def load(
        cls,
        path: Path,
        threads: int = 1,
        *,
        check: bool = True,
        decoding: Decoding | None = None,
    ) -> Self:
        """Open the artifact at ``path``, an encoder, and the decoder beside it.

        Raises:
            ModelError: a file is missing or damaged, does not load, or is of another kind.
            InputError: a decoding that it cannot follow.
        """
        info = read_info(path, check=check)
        return cls(info, open_network(path, threads, info), decoding)

    @abstractmethod
    def prompt(self, language: str = "") -> tuple[int, ...]:
        """The tokens that a text follows.

        Args:
            language: code of what is spoken in a clip, where that is known.
        """

    @abstractmethod
    def longest_text(self, seconds: float) -> int:
        """Tokens of the longest text of a clip."""

    @classmethod
    def languages_of(cls, info: ArtifactInfo) -> Collection[str] | None:
        """Codes of those that a model of such metadata can be told; None: it takes none."""
        return None

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
        return self._tokens(blocks) if self.info.fused else super().long_output(blocks)

    def _tokens(self, blocks: Iterable[FloatArray]) -> Output:
        rate = self.steps_per_second
        parts = pieces(blocks, round(LONGEST_SECONDS * rate), round(WINDOW_SECONDS * rate))
        rows = []
        for place, part in enumerate(parts):
            encoded, begin = self.network.encode(part[None]), place * WINDOW_SECONDS
            tokens = self._text_tokens(part, encoded)
            rows += [
                (token, place, begin + start, begin + end, log_prob)
                for token, (start, end, log_prob) in zip(
                    tokens, self._times(part, encoded, tokens), strict=True
                )
            ]
        return np.array(rows, TOKEN)

    def _times(
        self, clip: FloatArray, encoded: States, tokens: Sequence[int]
    ) -> list[tuple[float, float, float]]:
        """Start and end in seconds of the clip, and log-probability of each token; NaN: unknown."""
        return [(np.nan, np.nan, np.nan)] * len(tokens)

    def text_tokens(self, clip: FloatArray, language: str = "") -> tuple[int, ...]:
        """The tokens of one clip.

        Args:
            clip: (samples,), or (frames, bands) of features.
            language: see :meth:`prompt`.
        """
        return self._text_tokens(clip, self.network.encode(clip[None]), language)

    def _text_tokens(
        self, clip: FloatArray, encoded: States, language: str = ""
    ) -> tuple[int, ...]:
        longest = self.longest_text(self.seconds_of(clip))
        return greedy_text(self.network, encoded, self.prompt(language), self.end, longest)

    def text_of(self, output: Output) -> str:
        """The texts of all pieces."""
        texts = (
            self.text_of_tokens(output["token"][output["piece"] == place].tolist())
            for place in np.unique(output["piece"])
        )
        return " ".join(text for text in texts if text)

    def text_of_tokens(self, tokens: Sequence[int]) -> str:
        """What they write."""
        return self.labels.decode(tokens).strip()

    def words_of(self, output: Output, seconds: float) -> tuple[Word, ...]:
        """Those whose times are known."""
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
