"""Greedy, sampled and beam search on a decoder whose odds are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from quantkit.errors import ModelError
from quantkit.runtime.encoder_decoder.network import Network
from quantkit.runtime.whisper.rules import Rules
from quantkit.runtime.whisper.search import Hypothesis, Window, beam, greedy, sampled
from quantkit.text.whisper_vocabulary import WhisperVocabulary

A, B, D, END = 0, 1, 4, 5


def lure(tokens: Sequence[int]) -> Mapping[int, float]:
    """``a`` looks better first, but only ``b d`` goes on well."""
    text = [token for token in tokens if token < END]
    if not text:
        return {A: 0.6, B: 0.4}
    if text == [B]:
        return {D: 1.0}
    if text == [B, D]:
        return {END: 1.0}
    return {A: 0.3, B: 0.3, D: 0.2, END: 0.2}


def window(network: Network, vocabulary: WhisperVocabulary, longest: int | None = None) -> Window:
    prompt = vocabulary.prompt()
    prompted = Window.prompted(network, Rules(vocabulary), {}, prompt)
    return replace(prompted, longest=longest or prompted.longest)


def test_greedy_takes_the_lure(scripted: type, vocabulary: WhisperVocabulary) -> None:
    found = greedy(window(scripted(lure), vocabulary, longest=4))
    assert found.tokens == (A, A, A, A)
    assert found.log_prob == pytest.approx(np.log([0.6, 0.3, 0.3, 0.3]).sum(), abs=1e-3)


@pytest.mark.parametrize("width", [2, 3, 5])
def test_a_beam_finds_the_likelier_text(
    width: int, scripted: type, vocabulary: WhisperVocabulary
) -> None:
    found = beam(window(scripted(lure), vocabulary), width)
    assert found.tokens == (B, D)
    assert found.log_prob == pytest.approx(np.log(0.4), abs=1e-3)
    assert found.mean_log_prob == pytest.approx(np.log(0.4) / 3, abs=1e-3)


def test_a_beam_of_one_is_greedy(scripted: type, vocabulary: WhisperVocabulary) -> None:
    network = scripted(lure)
    assert beam(window(network, vocabulary, longest=4), 1).tokens == (A, A, A, A)


def test_a_text_that_never_ends_is_cut(scripted: type, vocabulary: WhisperVocabulary) -> None:
    network = scripted(lambda tokens: {A: 1.0})
    endless = window(network, vocabulary)
    assert len(greedy(endless).tokens) == 224
    assert beam(replace(endless, longest=7), 2).tokens == (A,) * 7


@pytest.mark.parametrize("search", [greedy, lambda prompted: beam(prompted, 2)])
def test_prompt_and_text_fit_into_the_decoder(
    search: Callable[[Window], Hypothesis], scripted: type, vocabulary: WhisperVocabulary
) -> None:
    """Of 448 positions, the longest memory takes more than half."""
    steps = 0

    def endless(tokens: Sequence[int]) -> Mapping[int, float]:
        nonlocal steps
        steps = max(steps, len(tokens))
        return {A: 1.0}

    prompt = [vocabulary.previous, *(A,) * 223, *vocabulary.prompt()]
    prompted = Window.prompted(scripted(endless), Rules(vocabulary), {}, prompt)
    assert len(search(prompted).tokens) == 448 - len(prompt)
    assert steps == 447


def test_a_broken_decoder_is_no_silence(scripted: type, vocabulary: WhisperVocabulary) -> None:
    with pytest.raises(ModelError, match="not finite"):
        window(scripted(lambda tokens: {A: float("nan")}), vocabulary)


def test_samples_follow_the_odds(scripted: type, vocabulary: WhisperVocabulary) -> None:
    odds = window(scripted(lambda tokens: {A: 0.2, B: 0.8}), vocabulary, longest=1)
    random = np.random.default_rng(0)
    firsts = [sampled(odds, 1.0, random).tokens[0] for _ in range(400)]
    assert np.mean(np.array(firsts) == B) == pytest.approx(0.8, abs=0.06)
    cold = [sampled(odds, 0.1, random).tokens[0] for _ in range(100)]
    assert set(cold) == {B}


def test_silence_is_what_follows_the_start(scripted: type, vocabulary: WhisperVocabulary) -> None:
    def silent(tokens: Sequence[int]) -> Mapping[int, float]:
        return {vocabulary.no_speech: 0.75, A: 0.25} if tokens[-1] == vocabulary.start else {A: 1.0}

    assert window(scripted(silent), vocabulary).silence == pytest.approx(0.75, abs=1e-3)
