"""Try again where a text looks like a failure (Radford et al. 2022, section 4.5)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantkit.runtime.encoder_decoder.network import Network, States
from quantkit.runtime.whisper.cut_windows import LOWEST_MEAN_LOG_PROB, repeats_itself
from quantkit.runtime.whisper.rules import Rules
from quantkit.runtime.whisper.search import Hypothesis, Window, beam, greedy, sampled
from quantkit.text.decoding import Decoding

# A text that zlib shrinks more repeats itself; one that is less likely is made up.
_HIGHEST_COMPRESSION = 2.4
_LOWEST_MEAN_LOG_PROB = -1.0
# Nobody speaks where this is likelier and the text is not.
_LOWEST_SILENCE = 0.6
# Of a sample at each temperature above 0, the likeliest of so many is taken.
_SAMPLES = 5


@dataclass(frozen=True)
class WindowText:
    """The text of one window.

    Args:
        silent: whether there is no speech, so that there is no text.
        temperature: that it was sampled with.
        doubtful: whether it is too unlikely for a cut window, repeats itself or has no end.
    """

    hypothesis: Hypothesis
    silent: bool
    temperature: float
    doubtful: bool


def text_of_window(
    network: Network,
    rules: Rules,
    encoded: States,
    prompt: Sequence[int],
    decoding: Decoding,
    width: int,
    random: np.random.Generator,
    *,
    cut: bool = False,
) -> WindowText:
    """The first text, by increasing temperature, that does not look like a failure; else the last.

    Args:
        encoded: see :meth:`~quantkit.runtime.encoder_decoder.network.Network.encode`.
        width: of the beam at temperature 0; 1 is greedy.
        cut: whether the window ends behind the clip; see
            :mod:`quantkit.runtime.whisper.cut_windows`.
    """
    window = Window.prompted(network, rules, encoded, prompt, cut=cut)
    for temperature in decoding.temperatures:
        if temperature > 0:
            tries = (sampled(window, temperature, random) for _ in range(_SAMPLES))
            found = max(tries, key=lambda text: text.log_prob / max(1, len(text.tokens)))
        else:
            found = greedy(window) if width == 1 else beam(window, width)
        unlikely = found.mean_log_prob < _LOWEST_MEAN_LOG_PROB
        silent = window.silence > _LOWEST_SILENCE and unlikely
        text = rules.vocabulary.decode(found.tokens)
        failed = unlikely or compression(text) > _HIGHEST_COMPRESSION
        if silent or not failed:
            break
    doubtful = failed or found.mean_log_prob < LOWEST_MEAN_LOG_PROB
    doubtful = doubtful or repeats_itself(found.tokens) or window.has_no_end(found.tokens)
    return WindowText(found, silent, temperature, doubtful)


def compression(text: str) -> float:
    """How many times shorter zlib makes a text."""
    content = text.strip().encode()
    return len(content) / len(zlib.compress(content))
