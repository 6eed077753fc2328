"""From an encoder's keys and values to tokens: the best one at each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from quantkit.arrays import FloatArray, IntArray
from quantkit.runtime.encoder_decoder.network import Memory, Network, States

#: The token to go on with, of log-probabilities (vocabulary,) and the text so far.
Choice: TypeAlias = Callable[[FloatArray, list[int]], int]


def likeliest(log_probs: FloatArray, text: list[int]) -> int:
    """Whatever the text, the token of the highest probability."""
    return int(log_probs.argmax())


def greedy_text(
    network: Network, encoded: States, prompt: Sequence[int], end: int, longest: int
) -> tuple[int, ...]:
    """The tokens of a text, without its prompt and end.

    Args:
        encoded: see :meth:`~quantkit.runtime.encoder_decoder.network.Network.encode`.
        prompt: tokens that the text follows.
        end: token behind a text.
        longest: tokens that it has at most.
    """
    log_probs, memory = network.step(np.array([prompt]), encoded, network.empty_memory())
    token = likeliest(log_probs[0, 0], [])
    return _finished(network, encoded, [], token, memory, end, longest, likeliest)


def read_and_write(
    network: Network,
    heard: FloatArray,
    tokens: IntArray,
    positions: IntArray,
    end: int,
    longest: int,
    choose: Choice = likeliest,
) -> tuple[FloatArray, tuple[int, ...]]:
    """What may follow each token of a given text, and the model's own text for the clip.

    As long as the chosen token is the given one, both texts have the same states, so only what
    comes after their first difference is run for its own.

    Args:
        heard, tokens, positions: see
            :meth:`~quantkit.runtime.encoder_decoder.network.Network.read`.
        end, longest: see :func:`greedy_text`.

    Returns:
        natural log-probabilities (1, positions, vocabulary); and the tokens of its own text,
        without prompt and end.
    """
    encoded, memory = network.encode(heard), network.empty_memory()
    ends = [int(position) + 1 for position in positions]
    given = tokens[0, ends[0] :].tolist()
    found: list[FloatArray] = []
    written: tuple[int, ...] | None = None
    for count, (begin, behind) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        log_probs, memory = network.step(tokens[:, begin:behind], encoded, memory)
        found.append(log_probs)
        if written is None:
            token = choose(log_probs[0, 0], given[:count])
            if count == len(given) or token != given[count]:
                begun = given[:count]
                written = _finished(network, encoded, begun, token, memory, end, longest, choose)
    return np.concatenate(found, axis=1), written or ()


def _finished(
    network: Network,
    encoded: States,
    begun: list[int],
    token: int,
    memory: Memory,
    end: int,
    longest: int,
    choose: Choice,
) -> tuple[int, ...]:
    """``begun``, then ``token``, then the chosen one at each step until the end."""
    text = [*begun]
    while token != end and len(text) < longest:
        text.append(token)
        log_probs, memory = network.step(np.array([[token]]), encoded, memory)
        token = choose(log_probs[0, -1], text)
    return tuple(text)
