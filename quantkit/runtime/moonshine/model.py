"""Moonshine artifacts: clips in, English text out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from quantkit.arrays import FloatArray
from quantkit.graph.artifact import model_files, read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.encoder_decoder.model import GreedyModel
from quantkit.runtime.encoder_decoder.network import Network, States
from quantkit.runtime.encoder_decoder.opening import open_network, require_readable_attention
from quantkit.runtime.moonshine.settings import moonshine_settings
from quantkit.runtime.whisper.cross_attention import CrossAttention, alignment_heads_of
from quantkit.runtime.whisper.timing import TokenTimer, waveform_levels
from quantkit.text.decoding import Decoding

# Samples from one step of the encoder to the next: its convolutions go 64 by 3 by 2. The middle of
# the 895 samples that a step hears is 447 behind its begin, so as many of them lie on either side.
_HOP, _FIRST = 384, 255


class MoonshineModel(GreedyModel):
    """A Moonshine that is ready to run.

    Args:
        network: its sessions.
        decoding: only greedy search.
        attention: what times of words are found by; None: there are none.

    Raises:
        ModelError: the artifact has no labels, or does not say how it is decoded.
        InputError: a decoder that it has not.
    """

    kind: ClassVar[str] = "a Moonshine"

    def __init__(
        self,
        info: ArtifactInfo,
        network: Network,
        decoding: Decoding | None = None,
        attention: CrossAttention | None = None,
    ) -> None:
        super().__init__(info, network, decoding)
        self.settings = moonshine_settings(info.extra)
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
    ) -> Self:
        """See :meth:`GreedyModel.load`; times of words need the decoder's attention.

        Raises:
            ModelError: see there.
            InputError: times of words of one in its published form, too.
        """
        info = read_info(path, check=check)
        attention = None
        if decoding is not None and decoding.words:
            require_readable_attention(info, path)
            decoder = model_files(path)[1]
            attention = CrossAttention.load(decoder, alignment_heads_of(info), threads)
        return cls(info, open_network(path, threads, info), decoding, attention)

    def prompt(self, language: str = "") -> tuple[int, ...]:
        """The start of every text."""
        return (self.settings.start,)

    def longest_text(self, seconds: float) -> int:
        """See :meth:`~quantkit.runtime.moonshine.settings.MoonshineSettings.longest_text`."""
        return self.settings.longest_text(seconds)

    def _times(
        self, clip: FloatArray, encoded: States, tokens: Sequence[int]
    ) -> list[tuple[float, float, float]]:
        """By the attention of the decoder to the audio."""
        if self._timer is None:
            return super()._times(clip, encoded, tokens)
        levels = waveform_levels(clip[_FIRST:], _HOP)
        return [
            (each.start, each.end, each.log_prob)
            for each in self._timer(encoded, self.prompt(), tokens, levels)
        ]
