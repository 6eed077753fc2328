"""Scripts without spaces between words."""

from __future__ import annotations

import pytest

from quantkit.text.scripts import script_without_spaces, without_spaces_within


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("我们今天去学校", "Chinese characters"),
        ("きょうはいい天気です", "kana"),
        ("วันนี้อากาศดี", "Thai"),
        ("ມື້ນີ້ອາກາດດີ", "Lao"),
        ("ថ្ងៃនេះអាកាសធាតុល្អ", "Khmer"),
        ("ဒီနေ့ရာသီဥတုကောင်းတယ်", "Burmese"),
        ("bod ཡིག་གི་སྐད", "Tibetan"),
        ("오늘 날씨가 좋다", ""),
        ("आज मौसम अच्छा है", ""),
        ("good weather today 好", ""),
        ("42", ""),
    ],
)
def test_the_script_of_most_letters(text: str, script: str) -> None:
    assert script_without_spaces([text]) == script


def test_spaces_within_such_a_script_are_left_out() -> None:
    assert without_spaces_within("今天 天气 很 好") == "今天天气很好"
    assert without_spaces_within("用 wifi 吗 and so on") == "用 wifi 吗 and so on"
