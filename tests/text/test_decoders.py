"""Greedy and beam decoding on sums that can be done by hand."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.errors import InputError, MissingDependencyError
from quantkit.text.ctc import ctc_loss
from quantkit.text.decoders import beam_decoder, ctcdecode_decoder, decoder_named, greedy_decoder
from quantkit.text.labels import Labels

AB = Labels(("_", "a", "b"))
ENGLISH = Labels.english()
BOTH = pytest.mark.parametrize("name", ["greedy", "beam"])


def logs(rows: list[list[float]]) -> np.ndarray:
    return np.log(np.array(rows, dtype=np.float32))


def spelled(path: str, labels: Labels = AB, confidence: float = 0.9) -> np.ndarray:
    """Log-probabilities whose best frame-wise path is ``path``; ``_`` is the blank."""
    rest = (1.0 - confidence) / (len(labels) - 1)
    rows = np.full((len(path), len(labels)), rest, dtype=np.float32)
    for row, token in zip(rows, path, strict=True):
        row[labels.blank if token == "_" else labels.tokens.index(token)] = confidence
    return np.log(rows)


@BOTH
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a", "a"),
        ("_", ""),
        ("aa", "a"),
        ("a_a", "aa"),
        ("aabb", "ab"),
        ("_aa__ab_", "aab"),
        ("abab", "abab"),
        ("__b", "b"),
    ],
)
def test_repeats_collapse_and_blanks_part_them(name: str, path: str, text: str) -> None:
    assert decoder_named(name, AB)(spelled(path)) == text


@BOTH
def test_words_are_parted_by_exactly_one_space(name: str) -> None:
    path = "_  __ is_  _  so_ _  _"
    assert decoder_named(name, ENGLISH)(spelled(path, ENGLISH, 0.99)) == "is so"


@BOTH
def test_space_in_the_first_frame_is_no_repeat_of_anything(name: str) -> None:
    labels = Labels((" ", "a", "_"), blank=2)
    assert decoder_named(name, labels)(spelled("a a", labels)) == "a a"


@BOTH
def test_phonemes_keep_their_separator(name: str) -> None:
    labels = Labels(("<b>", "AA", "K", "SIL"), separator=" ")
    path = logs([[0.1, 0.1, 0.7, 0.1], [0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]])
    assert decoder_named(name, labels)(path) == "K AA SIL"


@BOTH
def test_blank_may_be_the_last_label(name: str) -> None:
    labels = Labels(("a", "b", "_"), blank=2)
    assert decoder_named(name, labels)(spelled("aa_ab", labels)) == "aab"


@BOTH
def test_no_frames_give_no_text(name: str) -> None:
    assert decoder_named(name, AB)(np.zeros((0, 3), np.float32)) == ""


@BOTH
def test_impossible_labels_are_never_written(name: str) -> None:
    with np.errstate(divide="ignore"):
        certain = logs([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    assert decoder_named(name, AB)(certain) == "ab"


def test_beam_adds_up_the_alignments_of_a_text() -> None:
    # Graves 2006, figure 2: the best path is all blanks (0.6² = 0.36), but the three paths that
    # spell "a" hold 0.4·0.4 + 2·0.6·0.4 = 0.64.
    log_probs = logs([[0.6, 0.4, 1e-9], [0.6, 0.4, 1e-9]])
    assert greedy_decoder(AB)(log_probs) == ""
    assert beam_decoder(AB)(log_probs) == "a"


def test_beam_adds_up_repeats_too() -> None:
    # Best path: a blank a (0.5·0.4·0.5 = 0.1) → "aa". All paths of "a":
    # aaa .075 + aa_ .06 + a__ .08 + _aa .06 + _a_ .048 + __a .08 = 0.403.
    log_probs = logs([[0.4, 0.5, 0.1], [0.4, 0.3, 0.3], [0.4, 0.5, 0.1]])
    assert greedy_decoder(AB)(log_probs) == "aa"
    assert beam_decoder(AB)(log_probs) == "a"


def test_width_one_still_decodes() -> None:
    assert beam_decoder(AB, width=1)(spelled("aa_ab")) == "aab"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0.3, 6.0))
def test_beam_finds_a_text_about_as_probable_as_greedy_or_more(
    seed: int, frames: int, sharpness: float
) -> None:
    labels = Labels(("_", "a", "b", "c", "d"))
    logits = np.random.default_rng(seed).normal(size=(frames, 5)) * sharpness
    log_probs = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)

    def loss(text: str) -> float:
        return ctc_loss(log_probs, labels.encode(text))

    greedy, beam = greedy_decoder(labels)(log_probs), beam_decoder(labels, 200)(log_probs)
    # A text that ends in a blank and the same text without are two hypotheses to the search, and
    # it returns the text of the best one: that may hold as little as half of the probability.
    assert loss(beam) <= loss(greedy) + np.log(2) + 1e-3


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_beam_equals_greedy_where_the_model_is_sure(seed: int, frames: int) -> None:
    path = np.random.default_rng(seed).integers(0, 3, size=frames)
    log_probs = spelled("".join("_ab"[i] for i in path), confidence=0.999)
    assert beam_decoder(AB)(log_probs) == greedy_decoder(AB)(log_probs)


def test_a_decoder_may_be_used_again() -> None:
    decode = beam_decoder(AB)
    assert [decode(spelled(path)) for path in ("aab", "bbbb", "aab")] == ["ab", "b", "ab"]


@BOTH
def test_input_is_checked(name: str) -> None:
    decode = decoder_named(name, AB)
    with pytest.raises(InputError, match=r"\(2, 4\) do not fit 3 labels"):
        decode(np.zeros((2, 4), np.float32))
    with pytest.raises(InputError, match="NaN"):
        decode(np.full((2, 3), math.nan, np.float32))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InputError, match="choose one of greedy, beam, ctcdecode"):
        decoder_named("viterbi", AB)
    with pytest.raises(InputError, match="at least 1, not 0"):
        beam_decoder(AB, width=0)


def test_beam_search_needs_no_library_without_a_language_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "flashlight.lib.text.decoder", None)
    decode = beam_decoder(AB, width=3)
    assert decode(spelled("_aa__ab_")) == "aab"
    assert decode(np.zeros((0, 3), np.float32)) == ""
    assert decode(logs([[0.6, 0.4, 1e-9], [0.6, 0.4, 1e-9]])) == "a"
    with pytest.raises(InputError, match="at least 1, not 0"):
        beam_decoder(AB, width=0)


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flashlight.lib.text.decoder", None)
    with pytest.raises(MissingDependencyError, match="pip install flashlight-text"):
        beam_decoder(AB, language_model=Path("letters.arpa"))
    monkeypatch.setitem(sys.modules, "ctcdecode", None)
    with pytest.raises(MissingDependencyError, match="pip install ctcdecode"):
        ctcdecode_decoder(AB)


def test_the_real_ctcdecode() -> None:
    pytest.importorskip("ctcdecode", reason="ctcdecode is not installed")
    assert ctcdecode_decoder(AB)(spelled("_aa__ab_")) == "aab"


def test_ctcdecode_is_called_as_it_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    asked: dict[str, object] = {}

    class CTCBeamDecoder:
        def __init__(self, labels: list[str], **options: object) -> None:
            asked.update(options, labels=labels)

        def decode(self, probs: object) -> tuple[object, ...]:
            asked["shape"] = tuple(probs.shape)  # type: ignore[attr-defined]
            # Best beam first; what follows its length is garbage.
            return torch.tensor([[[1, 2, 7], [2, 2, 2]]]), None, None, torch.tensor([[2, 3]])

    module = ModuleType("ctcdecode")
    module.__dict__.update(SimpleNamespace(CTCBeamDecoder=CTCBeamDecoder).__dict__)
    monkeypatch.setitem(sys.modules, "ctcdecode", module)
    assert decoder_named("ctcdecode", AB, width=7)(spelled("ab_")) == "ab"
    assert asked["shape"] == (1, 3, 3)
    assert (asked["beam_width"], asked["blank_id"], asked["log_probs_input"]) == (7, 0, True)
