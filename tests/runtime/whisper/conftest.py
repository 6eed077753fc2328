"""A decoder of nine tokens whose every probability is set by the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from quantkit.arrays import FloatArray, IntArray
from quantkit.runtime.encoder_decoder.network import Memory, Network, States
from quantkit.text.whisper_vocabulary import WhisperVocabulary

#: Text: a, b, c, a space and d. Then what steers the decoder, and the times.
VOCABULARY = WhisperVocabulary(
    pieces=(b"a", b"b", b"c", b" ", b"d"),
    end=5,
    start=6,
    previous=7,
    no_speech=8,
    no_timestamps=9,
    timestamps=10,
    suppressed=(2,),
    suppressed_first=(3, 5),
)

#: What follows a text, as odds by token.
Odds = Callable[[Sequence[int]], Mapping[int, float]]


class Scripted(Network):
    """Says what the script says about the tokens so far, whatever it hears.

    Args:
        script: is given all tokens, the prompt included.
    """

    def __init__(self, script: Odds) -> None:
        self.script = script
        self.windows: list[FloatArray] = []
        self.prompts: list[tuple[int, ...]] = []

    def encode(self, features: FloatArray) -> States:
        self.windows.append(features)
        return {}

    def empty_memory(self, batch: int = 1) -> Memory:
        return Memory({"past.0.key": np.zeros((batch, 1, 0, 1), np.float32)})

    def step(
        self, tokens: IntArray, encoded: States, memory: Memory, positions: IntArray | None = None
    ) -> tuple[FloatArray, Memory]:
        if not memory.length:
            self.prompts.append(tuple(tokens[0].tolist()))
        before = memory.states["past.0.key"][:, 0, :, 0]
        whole = np.concatenate((before, tokens), axis=1)
        wanted = [tokens.shape[1] - 1] if positions is None else positions.tolist()
        log_probs = np.full((len(tokens), len(wanted), VOCABULARY.size), -30.0, np.float32)
        for row, text in enumerate(whole):
            for column, position in enumerate(wanted):
                seen = text[: before.shape[1] + position + 1].astype(int).tolist()
                for token, odds in self.script(seen).items():
                    log_probs[row, column, token] = np.log(odds)
        log_probs -= np.log(np.exp(log_probs).sum(axis=-1, keepdims=True))
        return log_probs, Memory({"past.0.key": whole[:, None, :, None].astype(np.float32)})


@pytest.fixture
def vocabulary() -> WhisperVocabulary:
    return VOCABULARY


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted
