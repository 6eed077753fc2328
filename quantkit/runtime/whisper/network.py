"""Encoder and decoder as sessions, and what the decoder remembers from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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


class WhisperNetwork:
    """The two sessions of a Whisper.

    Args:
        encoder, decoder: sessions of the two files.

    Raises:
        ModelError: they are no Whisper that quantkit exported.
    """

    def __init__(
        self, encoder: onnxruntime.InferenceSession, decoder: onnxruntime.InferenceSession
    ) -> None:
        self._encoder, self._decoder = encoder, decoder
        self._crossing = [value.name for value in encoder.get_outputs()]
        #: What the encoder takes, such as ``features``.
        self.heard = encoder.get_inputs()[0].name
        inputs = {value.name: value.shape for value in decoder.get_inputs()}
        past = [name for name in inputs if name.startswith(PAST)]
        made = {value.name for value in decoder.get_outputs()}
        given = {"tokens", "positions", *past, *self._crossing}
        fits = all(name.startswith(CROSSING) for name in self._crossing)
        if not fits or not past or given != inputs.keys() or "log_probs" not in made:
            raise ModelError(
                f"not a Whisper of quantkit: the decoder has inputs {sorted(inputs)[:6]}…; make "
                "one with `quantkit export`"
            )
        self._states = short_form_states(inputs)

    @classmethod
    def load(cls, encoder: Path, decoder: Path, threads: int = 1) -> WhisperNetwork:
        """Open both files.

        Raises:
            ModelError: one does not load, or they are no Whisper.
        """
        return cls(
            create_session(encoder, threads=threads), create_session(decoder, threads=threads)
        )

    def encode(self, features: FloatArray) -> States:
        """What the decoder attends to.

        Args:
            features: (1, mel_bands, frames) a window; or whatever else the encoder hears.
        """
        made = run_session(self._encoder, self._crossing, {self.heard: features})
        return dict(zip(self._crossing, made, strict=True))

    def empty_memory(self, batch: int = 1) -> Memory:
        """Before the first token."""
        return Memory({state.input: state.initial(batch) for state in self._states})

    def first_states(self) -> States:
        """States before the first token, as the decoder of an artifact calls them."""
        return self.empty_memory().states

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

    def read(self, features: FloatArray, tokens: IntArray, positions: IntArray) -> FloatArray:
        """What may follow each token of a given text, which is read as one is written.

        Args:
            features: (1, mel_bands, frames) a window.
            tokens: (1, count) the prompt, which is read at once, and the text.
            positions: the prompt's last token, and all behind it.

        Returns:
            natural log-probabilities (1, positions, vocabulary).
        """
        encoded, memory = self.encode(features), self.empty_memory()
        ends = [int(position) + 1 for position in positions]
        found = []
        for begin, end in zip([0, *ends[:-1]], ends, strict=True):
            log_probs, memory = self.step(tokens[:, begin:end], encoded, memory)
            found.append(log_probs)
        return np.concatenate(found, axis=1)
