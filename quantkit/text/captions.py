"""Texts with times as subtitles: SubRip (``.srt``), WebVTT (``.vtt``) and a table (``.tsv``)."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from quantkit.text.words import Word

# A pause as long as this ends a caption.
_PAUSE_SECONDS = 0.8
# Of a caption: what people read at a time, in two lines.
_LONGEST_SECONDS = 7.0
_LONGEST_TEXT = 84


@dataclass(frozen=True)
class Caption:
    """A text that is shown for a while.

    Args:
        start, end: seconds in the clip.
    """

    start: float
    end: float
    text: str


def captions_of_words(words: Sequence[Word], between: str = " ") -> list[Caption]:
    """Words that follow one another, until a pause or until there are many.

    Args:
        between: what stands between words in a text.
    """
    if not words:
        return []
    found: list[list[Word]] = [[words[0]]]
    for before, word in pairwise(words):
        shown = found[-1]
        length = len(between.join(each.text for each in (*shown, word)))
        if (
            word.start - before.end >= _PAUSE_SECONDS
            or word.end - shown[0].start > _LONGEST_SECONDS
            or length > _LONGEST_TEXT
        ):
            found.append([])
        found[-1].append(word)
    return [
        Caption(group[0].start, group[-1].end, between.join(word.text for word in group))
        for group in found
    ]


def srt(captions: Iterable[Caption]) -> str:
    """SubRip.

    >>> srt([Caption(0.5, 61.25, "hello")])
    '1\\n00:00:00,500 --> 00:01:01,250\\nhello\\n'
    """
    blocks = (
        f"{number}\n{_clock(each.start, ',')} --> {_clock(each.end, ',')}\n{_line(each.text)}\n"
        for number, each in enumerate(captions, start=1)
    )
    return "\n".join(blocks)


def vtt(captions: Iterable[Caption]) -> str:
    """WebVTT (W3C), whose texts are escaped."""
    blocks = (
        f"{_clock(each.start, '.')} --> {_clock(each.end, '.')}\n"
        f"{html.escape(_line(each.text), quote=False)}\n"
        for each in captions
    )
    return "\n".join(("WEBVTT\n", *blocks))


def tsv(captions: Iterable[Caption]) -> str:
    """A table: start and end in milliseconds, and the text."""
    rows = (
        f"{round(1000 * each.start)}\t{round(1000 * each.end)}\t{_line(each.text)}\n"
        for each in captions
    )
    return "".join(("start\tend\ttext\n", *rows))


#: Forms of subtitles by the ending of their files.
CAPTION_FORMS: Mapping[str, Callable[[Iterable[Caption]], str]] = {
    "srt": srt,
    "vtt": vtt,
    "tsv": tsv,
}


def _clock(seconds: float, point: str) -> str:
    whole, thousandths = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{thousandths:03}"


def _line(text: str) -> str:
    """An empty line would end the caption, and an arrow begin another."""
    return " ".join(text.split()).replace("-->", "->")
