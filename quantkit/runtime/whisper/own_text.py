"""A given text is read, and the text that a Whisper would write itself is found on the way."""

from __future__ import annotations

from quantkit.arrays import FloatArray, IntArray
from quantkit.runtime.encoder_decoder import greedy
from quantkit.runtime.encoder_decoder.network import Network
from quantkit.runtime.whisper.rules import Rules
from quantkit.runtime.whisper.search import LONGEST_TEXT
from quantkit.text.whisper_vocabulary import WhisperVocabulary


def read_and_write(
    network: Network,
    vocabulary: WhisperVocabulary,
    features: FloatArray,
    tokens: IntArray,
    positions: IntArray,
) -> tuple[FloatArray, tuple[int, ...]]:
    """See :func:`quantkit.runtime.encoder_decoder.greedy.read_and_write`; by Whisper's rules."""
    rules = _rules(vocabulary, tokens[0, int(positions[0]) + 1 :].tolist())

    def choose(log_probs: FloatArray, text: list[int]) -> int:
        return int(rules.apply(log_probs, text).argmax())

    return greedy.read_and_write(
        network, features, tokens, positions, vocabulary.end, LONGEST_TEXT, choose
    )


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
