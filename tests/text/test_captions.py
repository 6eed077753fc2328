"""Subtitles of texts with times."""

from __future__ import annotations

import pytest

from quantkit.text.captions import CAPTION_FORMS, Caption, captions_of_words, srt, tsv, vtt
from quantkit.text.words import Word

TWO = [Caption(0.5, 1.25, "hello"), Caption(3_661.0, 3_662.0, "you")]


def said(*places: tuple[str, float, float]) -> list[Word]:
    return [Word(text, start, end, 1.0) for text, start, end in places]


def test_subrip_numbers_its_captions_and_writes_commas() -> None:
    assert srt(TWO) == (
        "1\n00:00:00,500 --> 00:00:01,250\nhello\n\n2\n01:01:01,000 --> 01:01:02,000\nyou\n"
    )


def test_webvtt_has_a_heading_and_escapes_its_texts() -> None:
    assert vtt([Caption(0, 1, "a < b & c")]) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\na &lt; b &amp; c\n"
    )


def test_a_table_has_milliseconds() -> None:
    assert tsv(TWO) == "start\tend\ttext\n500\t1250\thello\n3661000\t3662000\tyou\n"


@pytest.mark.parametrize("form", CAPTION_FORMS)
def test_a_text_cannot_end_its_caption_or_begin_another(form: str) -> None:
    written = CAPTION_FORMS[form]([Caption(0, 1, "a\n\n2\n00:00 --> 00:01\tb")])
    assert written.count("-->") == (form != "tsv")
    assert "a 2 00:00" in written


@pytest.mark.parametrize("form", CAPTION_FORMS)
def test_nothing_said_is_a_file_without_captions(form: str) -> None:
    assert "-->" not in CAPTION_FORMS[form]([])


def test_a_pause_ends_a_caption() -> None:
    words = said(("well", 0, 0.4), ("then", 0.5, 0.9), ("goodbye", 2.0, 2.5))
    assert captions_of_words(words) == [Caption(0, 0.9, "well then"), Caption(2.0, 2.5, "goodbye")]


def test_a_caption_is_no_longer_than_two_lines_or_seven_seconds() -> None:
    quick = captions_of_words(said(*((f"word{i}", 0.1 * i, 0.1 * i + 0.1) for i in range(40))))
    slow = captions_of_words(said(*((f"word{i}", i, i + 0.9) for i in range(20))))
    assert max(len(each.text) for each in quick) <= 84
    assert max(each.end - each.start for each in slow) <= 7
    assert " ".join(each.text for each in quick) == " ".join(f"word{i}" for i in range(40))


def test_scripts_without_spaces_are_joined_without() -> None:
    assert captions_of_words(said(("你", 0, 1), ("好", 1, 2)), "") == [Caption(0, 2, "你好")]


def test_no_words_are_no_captions() -> None:
    assert captions_of_words([]) == []
