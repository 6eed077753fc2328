"""From an encoder's keys and values to tokens: the likeliest one at each step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantkit.arrays import FloatArray, IntArray
from quantkit.runtime.whisper.network import Memory, States, WhisperNetwork


def greedy_text(
    network: WhisperNetwork, encoded: States, start: int, end: int, longest: int
) -> tuple[int, ...]:
    """The tokens of a text, without its start and end.

    Args:
        encoded: see :meth:`~quantkit.runtime.whisper.network.WhisperNetwork.encode`.
        start, end: tokens.
        longest: tokens that it has at most.
    """
    log_probs, memory = network.step(np.array([[start]]), encoded, network.empty_memory())
    return _finished(network, encoded, (), log_probs, memory, end, longest)


def read_and_write(
    network: WhisperNetwork,
    waveform: FloatArray,
    tokens: IntArray,
    end: int,
    longest: int,
) -> tuple[FloatArray, tuple[int, ...]]:
    """What may follow each token of a given text, and the model's own text.

    As long as the likeliest token is the given one, both texts have the same states.

    Args:
        waveform: (1, samples).
        tokens: (1, count) the start, and the given text.

    Returns:
        natural log-probabilities (1, count, vocabulary); and the tokens of the greedy text.
    """
    encoded, memory = network.encode(waveform), network.empty_memory()
    given = tokens[0, 1:].tolist()
    found: list[FloatArray] = []
    written: tuple[int, ...] | None = None
    for count in range(tokens.shape[1]):
        log_probs, memory = network.step(tokens[:, count : count + 1], encoded, memory)
        found.append(log_probs)
        if written is None:
            token = int(log_probs[0, 0].argmax())
            if count == len(given) or token != given[count]:
                written = _finished(
                    network, encoded, given[:count], log_probs, memory, end, longest
                )
    return np.concatenate(found, axis=1), written or ()


def _finished(
    network: WhisperNetwork,
    encoded: States,
    begun: Sequence[int],
    log_probs: FloatArray,
    memory: Memory,
    end: int,
    longest: int,
) -> tuple[int, ...]:
    """``begun``, and the likeliest token at each step until the end."""
    text = [*begun]
    while (token := int(log_probs[0, -1].argmax())) != end and len(text) < longest:
        text.append(token)
        log_probs, memory = network.step(np.array([[token]]), encoded, memory)
    return tuple(text)
