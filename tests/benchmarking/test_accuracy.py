"""Figures from transcripts, without any model."""

from __future__ import annotations

import pytest

from quantkit.benchmarking.accuracy import Accuracy, accuracy_of
from quantkit.benchmarking.schema import UtteranceResult
from quantkit.text.distances import levenshtein
from quantkit.text.labels import Labels
from quantkit.text.normalize import normalized
from quantkit.text.scoring import KeywordScoring, LabelScoring

ENGLISH = Labels.english()
LETTERS = LabelScoring(ENGLISH)


def result(reference: str, hypothesis: str, loss: float | None = None) -> UtteranceResult:
    distance = levenshtein(reference, hypothesis)
    return UtteranceResult(reference, reference, hypothesis, distance, len(reference), 1.0, loss)


def test_rates_are_over_the_corpus_and_not_means_of_rates() -> None:
    figures = accuracy_of([result("a", "b"), result("abcdefghi", "abcdefghi")], LETTERS, seed=0)
    assert (figures.levenshtein, figures.cer, figures.wer) == (0.5, 0.1, 0.5)


def test_words_inserted_deleted_substituted() -> None:
    figures = accuracy_of([result("the cat sat", "a cat sat down"), result("no", "")], LETTERS, 0)
    assert figures.wer_edits is not None
    assert (figures.wer_edits.insertions, figures.wer_edits.deletions) == (1, 1)
    assert (figures.wer_edits.substitutions, figures.wer_edits.reference_length) == (1, 4)


def test_utterances_without_a_loss_do_not_count_in_it() -> None:
    utterances = [result("ab", "ab", 3.0), result("abc", "", None), result("", "", 9.0)]
    assert accuracy_of(utterances, LETTERS, 0).loss == 1.5
    assert accuracy_of([result("a", "a")], LETTERS, 0).loss is None


def test_empty_references() -> None:
    silence = accuracy_of([result("", "")], LETTERS, 0)
    assert (silence.cer, silence.wer, silence.levenshtein) == (0.0, 0.0, 0.0)
    noise = accuracy_of([result("", "uh")], LETTERS, 0)
    assert (noise.cer, noise.levenshtein) == (1.0, 2.0)


def test_nothing_scored() -> None:
    assert accuracy_of([], LETTERS, 0) == Accuracy()


def test_the_error_rate_of_keywords_is_the_share_of_wrong_ones() -> None:
    words = KeywordScoring(("yes", "no"))
    figures = accuracy_of([result("yes", "no"), result("no", "no"), result("no", "no")], words, 0)
    assert figures.cer == pytest.approx(1 / 3)
    assert figures.wer is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("already fine", "already fine"),
        ("  That  AGENT is “logged on”. ", "that agent is logged on"),
        ("it’s twenty-one", "it's twenty one"),
        ("naïve 3", "naïve 3"),
    ],
)
def test_transcripts_are_brought_into_the_alphabet(text: str, expected: str) -> None:
    assert normalized(text, ENGLISH) == expected


def test_upper_case_alphabets_and_phonemes() -> None:
    assert normalized("Hey, you", Labels(("_", " ", *"HEYOU"))) == "HEY YOU"
    assert normalized(" K  AA ", Labels(("_", "AA", "K"), separator=" ")) == "K AA"
    assert normalized("Ab.", Labels(("_", *"AaBb."))) == "Ab."
