"""The text that a model writes itself is found while it reads another's."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.runtime.whisper.own_text import is_own_text, read_and_write

PROMPT = [6, 9]
FEATURES = np.zeros((1, 80, 3000), np.float32)


def text_inputs(*text: int) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.array([[*PROMPT, *text]])
    return tokens, np.arange(1, tokens.shape[1])


def writes(*text: int):
    """Odds of a model that writes ``text`` and then ends, whatever came before."""
    return lambda seen: {([*text, 5])[min(len(seen) - 2, len(text))]: 0.9, 4: 0.1}


@pytest.mark.parametrize(
    ("given", "own"),
    [((0, 1), (0, 1)), ((0, 1, 0), (0, 0, 1)), ((0,), (0, 1, 1)), ((0, 1, 1), (0,))],
    ids=["the same", "another token", "longer", "shorter"],
)
def test_its_own_text_goes_on_where_both_part(scripted, vocabulary, given, own) -> None:
    network = scripted(writes(*own))
    tokens, positions = text_inputs(*given)
    log_probs, written = read_and_write(network, vocabulary, FEATURES, tokens, positions)
    assert written == own
    np.testing.assert_array_equal(log_probs, network.read(FEATURES, tokens, positions))
    assert len(network.windows) == 2  # each function encodes the window once


def test_a_text_of_its_own_is_known_by_its_posteriors(scripted, vocabulary) -> None:
    network = scripted(writes(0, 1))
    for given, own in (((0, 1), True), ((1, 1), False), ((), True)):
        tokens, positions = text_inputs(*given)
        log_probs = network.read(FEATURES, tokens, positions)
        assert is_own_text(vocabulary, log_probs, tokens, positions) is own
