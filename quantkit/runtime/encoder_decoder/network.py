"""Encoder and decoder as sessions, and what the decoder remembers from step to step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime

from quantkit.arrays import FloatArray, IntArray
from quantkit.errors import ModelError
from quantkit.graph.roles import CROSSING, PAST, short_form_states
from quantkit.runtime.session import create_session
from quantkit.runtime.speech_model import Output, run_session

States = Mapping[str, FloatArray]


@dataclass(frozen=True)
class Memory:
    """Keys and values of the tokens so far.

    Args:
        states: by input name of the decoder, (batch, heads, tokens, head_size).
    """

    states: States

    @property
    def length(self) -> int:
        """Tokens so far."""
        return int(next(iter(self.states.values())).shape[2])

    def take(self, rows: IntArray) -> Memory:
        """The hypotheses at ``rows``, which may repeat."""
        return Memory({name: values[rows] for name, values in self.states.items()})


class Network(ABC):
    """An encoder and a decoder, in whichever form their files are.

    Args:
        encoder, decoder: sessions of the two files.
    """

    def __init__(
        self, encoder: onnxruntime.InferenceSession, decoder: onnxruntime.InferenceSession
    ) -> None:
        self._encoder, self._decoder = encoder, decoder
        #: What the encoder takes, such as ``features``.
        self.heard = encoder.get_inputs()[0].name

    @classmethod
    def load(cls, encoder: Path, decoder: Path, threads: int = 1) -> Self:
        """Open both files.

        Raises:
            ModelError: one does not load, or they are no encoder and decoder.
        """
        return cls(
            create_session(encoder, threads=threads), create_session(decoder, threads=threads)
        )

    @abstractmethod
    def encode(self, heard: FloatArray) -> States:
        """What the decoder attends to.

        Args:
            heard: one clip or window, such as (1, mel_bands, frames) or (1, samples).
        """

    @abstractmethod
    def empty_memory(self, batch: int = 1) -> Memory:
        """Before the first token."""

    def first_states(self) -> States:
        """States before the first token, as the decoder of an artifact calls them."""
        return self.empty_memory().states

    @abstractmethod
    def step(
        self, tokens: IntArray, encoded: States, memory: Memory, positions: IntArray | None = None
    ) -> tuple[FloatArray, Memory]:
        """What may follow.

        Args:
            tokens: (batch, count) new tokens of each hypothesis.
            encoded: see :meth:`encode`.
            memory: of the tokens before them.
            positions: which of the new tokens to predict the next one for; None: the last.

        Returns:
            natural log-probabilities (batch, positions, vocabulary), and the memory with the new
            tokens.
        """

    def read(self, heard: FloatArray, tokens: IntArray, positions: IntArray) -> FloatArray:
        """What may follow each token of a given text, which is read as one is written.

        Args:
            heard: see :meth:`encode`.
            tokens: (1, count) the prompt, which is read at once, and the text.
            positions: the prompt's last token, and all behind it.

        Returns:
            natural log-probabilities (1, positions, vocabulary).
        """
        encoded, memory = self.encode(heard), self.empty_memory()
        ends = [int(position) + 1 for position in positions]
        found = []
        for begin, end in zip([0, *ends[:-1]], ends, strict=True):
            log_probs, memory = self.step(tokens[:, begin:end], encoded, memory)
            found.append(log_probs)
        return np.concatenate(found, axis=1)


class ExportedNetwork(Network):
    """The two sessions of an artifact.

    Args:
        encoder, decoder: sessions of the two files.

    Raises:
        ModelError: they are none that quantkit exported.
    """

    def __init__(
        self, encoder: onnxruntime.InferenceSession, decoder: onnxruntime.InferenceSession
    ) -> None:
        super().__init__(encoder, decoder)
        self._crossing = [value.name for value in encoder.get_outputs()]
        inputs = {value.name: value.shape for value in decoder.get_inputs()}
        past = [name for name in inputs if name.startswith(PAST)]
        made = {value.name for value in decoder.get_outputs()}
        given = {"tokens", "positions", *past, *self._crossing}
        fits = all(name.startswith(CROSSING) for name in self._crossing)
        if not fits or not past or given != inputs.keys() or "log_probs" not in made:
            raise ModelError(
                "not an encoder and decoder of quantkit: the decoder has inputs "
                f"{sorted(inputs)[:6]}…; make one with `quantkit export`"
            )
        self._states = short_form_states(inputs)

    def encode(self, heard: FloatArray) -> States:
        """See :meth:`Network.encode`."""
        made = run_session(self._encoder, self._crossing, {self.heard: heard})
        return dict(zip(self._crossing, made, strict=True))

    def empty_memory(self, batch: int = 1) -> Memory:
        """Before the first token."""
        return Memory({state.input: state.initial(batch) for state in self._states})

    def step(
        self, tokens: IntArray, encoded: States, memory: Memory, positions: IntArray | None = None
    ) -> tuple[FloatArray, Memory]:
        """See :meth:`Network.step`."""
        feed: dict[str, Output] = {
            "tokens": tokens,
            "positions": np.array([tokens.shape[1] - 1]) if positions is None else positions,
            **memory.states,
            **encoded,
        }
        names = ["log_probs", *(state.output for state in self._states)]
        log_probs, *present = run_session(self._decoder, names, feed)
        before = (state.input for state in self._states)
        return log_probs, Memory(dict(zip(before, present, strict=True)))
