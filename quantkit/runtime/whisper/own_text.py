"""A given text is read, and the text that the model would write itself is found on the way."""

from __future__ import annotations

import numpy as np

from quantkit.arrays import FloatArray, IntArray
from quantkit.runtime.whisper.network import Memory, States, WhisperNetwork
from quantkit.runtime.whisper.rules import Rules
from quantkit.runtime.whisper.search import LONGEST_TEXT
from quantkit.text.whisper_vocabulary import WhisperVocabulary


def read_and_write(
    network: WhisperNetwork,
    vocabulary: WhisperVocabulary,
    features: FloatArray,
    tokens: IntArray,
    positions: IntArray,
) -> tuple[FloatArray, tuple[int, ...]]:
    """What may follow each token of a given text, and the model's own text for the window.

    As long as the model's likeliest token is the given one, both texts have the same states, so
    only what comes after their first difference is run for its own.

    Args:
        features, tokens, positions: see
            :meth:`~quantkit.runtime.whisper.network.WhisperNetwork.read`.

    Returns:
        natural log-probabilities (1, positions, vocabulary); and the tokens of the greedy text,
        without prompt and end.
    """
    encoded, memory = network.encode(features), network.empty_memory()
    ends = [int(position) + 1 for position in positions]
    given = tokens[0, ends[0] :].tolist()
    rules = _rules(vocabulary, given)
    found: list[FloatArray] = []
    written: tuple[int, ...] | None = None
    for count, (begin, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        log_probs, memory = network.step(tokens[:, begin:end], encoded, memory)
        found.append(log_probs)
        if written is None:
            token = int(rules.apply(log_probs[0, 0], given[:count]).argmax())
            if count == len(given) or token != given[count]:
                own = _Greedy(network, rules, encoded)
                written = own.finished(given[:count], token, memory)
    return np.concatenate(found, axis=1), written or ()


def is_own_text(
    vocabulary: WhisperVocabulary, log_probs: FloatArray, tokens: IntArray, positions: IntArray
) -> bool:
    """Whether a model would write a given text greedily after the same prompt.

    It would not where the text was written after that of the window before.

    Args:
        log_probs: (1, positions, vocabulary), the model's own.
        tokens, positions: see :func:`read_and_write`.
    """
    given = tokens[0, int(positions[0]) + 1 :].tolist()
    rules = _rules(vocabulary, given)
    return all(
        int(rules.apply(log_probs[0, count], given[:count]).argmax()) == token
        for count, token in enumerate(given)
    )


def _rules(vocabulary: WhisperVocabulary, given: list[int]) -> Rules:
    return Rules(vocabulary, any(token >= vocabulary.timestamps for token in given))


class _Greedy:
    """Goes on with a text that has begun."""

    def __init__(self, network: WhisperNetwork, rules: Rules, encoded: States) -> None:
        self._network, self._rules, self._encoded = network, rules, encoded

    def finished(self, text: list[int], token: int, memory: Memory) -> tuple[int, ...]:
        """``text``, then ``token``, then the likeliest token at each step."""
        text = [*text]
        while token != self._rules.vocabulary.end and len(text) < LONGEST_TEXT:
            text.append(token)
            log_probs, memory = self._network.step(np.array([[token]]), self._encoded, memory)
            token = int(self._rules.apply(log_probs[0, 0], text).argmax())
        return tuple(text)
