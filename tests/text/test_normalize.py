"""Transcripts, brought towards what the labels hold."""

from __future__ import annotations

import unicodedata

import pytest

from quantkit.text.labels import Labels
from quantkit.text.normalize import normalized
from quantkit.text.scoring import LabelScoring

LOWER = "abcdefghijklmnopqrstuvwxyz"


def of(characters: str, text: str, language: str = "") -> str:
    return normalized(text, Labels(("_", *characters)), language)


@pytest.mark.parametrize("sign", "'’ʼ‘`´′＇")
@pytest.mark.parametrize("held", "'’ʼ")
def test_apostrophes_become_the_one_that_the_labels_hold(sign: str, held: str) -> None:
    assert of(f" {held}{LOWER}", f"It{sign}s") == f"it{held}s"
    assert of(f" {LOWER}", f"it{sign}s") == "its"


@pytest.mark.parametrize("sign", '"“”„«»')
def test_quotes_become_those_that_the_labels_hold(sign: str) -> None:
    assert of(f' "{LOWER}', f"{sign}yes{sign}") == '"yes"'
    assert of(f" {LOWER}", f"{sign}yes{sign}") == "yes"


def test_hyphens_become_those_that_the_labels_hold_and_pauses_do_not() -> None:
    assert of(f" -{LOWER}", "well‐known, well‑known, well–known") == (
        "well-known well-known well-known"
    )
    assert of(f" -{LOWER}", "wait – no — yes") == "wait no yes"
    assert of(f" {LOWER}", "well-known wait…what") == "well known wait what"


@pytest.mark.parametrize(
    ("characters", "language", "text", "expected"),
    [
        (" abcdefghıijklmnoprstuvyzçğöşü", "", "IĞDIR İZMİR", "ığdır izmir"),
        (" abcdefghıijklmnoprstuvyzçğöşü", "tr", "IĞDIR", "ığdır"),
        (" ABCDEFGHIİJKLMNOPRSTUVYZÇĞÖŞÜ", "tr-TR", "ığdır izmir", "IĞDIR İZMİR"),
        (f" {LOWER}", "", "İstanbul", "istanbul"),
        (f" {LOWER}", "tr", "KIZ", "kiz"),
        (f" {LOWER}", "de", "STRASSE Straße", "strasse strasse"),
        (f" {LOWER}ß", "de", "GROẞ groß", "groß groß"),
        (f" {LOWER.upper()}", "de", "Straße", "STRASSE"),
        (f" {LOWER.upper()}ẞ", "de", "Straße", "STRAẞE"),
        (" αβγδεζηθικλμνξοπρσςτυφχψωό", "el", "ΛΌΓΟΣ ΣΟΦΌΣ", "λόγος σοφός"),
        (" αβγδεζηθικλμνξοπρστυφχψωό", "el", "λόγος", "λόγοσ"),
        (" ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ", "el", "λόγος", "ΛΟΓΟΣ"),
        (" abcdǆep", "hr", "ǅep Ǆ", "ǆep ǆ"),
        (" abcdžep", "hr", "ǅep", "džep"),
        (f" {LOWER}", "", "ﬁne Ｗide", "fine wide"),
        (" abcDEF", "", "ABCdef", "abcDEF"),
    ],
)
def test_case_is_folded_by_language_and_by_character(
    characters: str, language: str, text: str, expected: str
) -> None:
    found = of(characters, text, language)
    assert found == unicodedata.normalize("NFC", expected)
    assert Labels(("_", *characters)).covers(found)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("tokens", [("é", "c", "a", "f"), ("\u0301", "e", "c", "a", "f")])
def test_marks_may_be_composed_in_labels_and_in_transcripts(
    form: str, tokens: tuple[str, ...]
) -> None:
    labels = Labels(("_", *tokens))
    text = normalized(unicodedata.normalize(form, "CAFÉ!"), labels)
    assert text == "café"
    assert labels.covers(text)
    scoring = LabelScoring(labels)
    assert scoring.heard(labels.decode(labels.encode(text))) == text
    assert len(scoring.units(text)) == 4


def test_case_and_signs_count_where_the_labels_hold_them() -> None:
    cased = Labels(("_", *" ,.", *LOWER, *LOWER.upper()))
    assert normalized("Yes, I do.", cased) == "Yes, I do."
    assert normalized("Yes, I do!", cased) == "Yes, I do"


def test_pieces_say_by_their_letters_what_is_written() -> None:
    pieces = Labels(("<unk>", " the", " cat", "s", " "), blank=0)
    assert normalized("The CATS!", pieces) == "the cats"


def test_bytes_of_a_fallback_do_not_keep_signs() -> None:
    bytes_ = (f"<0x{byte:02X}>" for byte in range(256))
    assert normalized("The cat!", Labels(("_", " the", " cat", *bytes_))) == "the cat"


def test_spaces_count_only_where_the_labels_write_them() -> None:
    assert of("你好", "你 好。") == "你好"
    assert LabelScoring(Labels(("_", " ", "你", "好"))).normalized("你 好") == "你好"


def test_what_only_steers_drawing_is_left_out() -> None:
    assert of(" abc", "\ufeffa\u200db\u00adc") == "abc"
    assert of(" میخواه", "می\u200cخواهم") == "میخواهم"


def test_letters_outside_the_labels_stay() -> None:
    assert of(f" {LOWER}", "Café 42") == "café 42"


@pytest.mark.parametrize(
    ("text", "letters", "expected"),
    [
        ("السَّلَامُ", "السلام", "السلام"),
        ("السَّلَامُ", "السلام\u064e\u0651\u064f", "السَّلَامُ"),
        ("الســـلام", "السلام", "السلام"),
        ("שָׁלוֹם", "שלומם", "שלום"),
        ("\ufb2aלום", "שלום", "שלום"),
        ("за́мок", "замок", "замок"),
        ("Ёлка", "елка", "елка"),
        ("ёлка", "ёлка", "ёлка"),
        ("Ὀδυσσεύς", "οδυσεύς", "οδυσσεύς"),
        ("Καλημέρα", "καλημερ", "καλημερα"),
    ],
)
def test_marks_that_may_be_left_out_go_unless_they_are_labels(
    text: str, letters: str, expected: str
) -> None:
    assert normalized(text, Labels(("<blk>", *dict.fromkeys(letters)))) == expected


@pytest.mark.parametrize(
    ("text", "letters", "expected"),
    [
        ("١٢ ３", "123 ", "12 3"),
        ("ｶﾞｷﾞ", "ガギ", "ガギ"),
        ("a\x00\x07b", "ab", "ab"),
        ("a_b", "ab ", "a b"),
    ],
)
def test_digits_half_width_letters_and_control_characters(
    text: str, letters: str, expected: str
) -> None:
    assert normalized(text, Labels(("<blk>", *letters))) == expected
