"""Which labels write a text: letters, phonemes, or pieces of words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cached_property

from quantkit.text.byte_labels import bytes_of, holds_bytes
from quantkit.text.segmentation import (
    Segmentation,
    best_scored,
    longest_first,
    merged_by_score,
    merged_in_order,
)

# As it stands, composed, and taken apart.
_FORMS = ("", "NFC", "NFD")

_SPACE_AND_WORD = re.compile(r" *[^ ]+| +")
_WORD_AND_SPACE = re.compile(r"[^ ]+ *| +")
_CHARACTER = re.compile(r".", re.DOTALL)
_LETTER_AND_SPACE = re.compile(r"[^ ] |.", re.DOTALL)


class Cutter:
    """Finds the labels of a text, whose letters with marks may be composed or not.

    Args:
        written: index of each label that a text may hold, by its text.
        separator: between labels in a text.
        segmentation: see :class:`~quantkit.text.labels.Labels`.
    """

    def __init__(
        self, written: Mapping[str, int], separator: str, segmentation: Segmentation | None
    ) -> None:
        self.written, self.separator, self.segmentation = written, separator, segmentation
        longer = [] if separator else [token for token in written if len(token) > 1]
        #: Where pieces hold the space of their word: ``front``, ``back``, or nowhere.
        self.edge = ""
        if any(token.startswith(" ") for token in longer):
            self.edge = "front"
        elif any(token.endswith(" ") for token in longer):
            self.edge = "back"
        #: Whether labels are pieces of words.
        self.are_pieces = bool(self.edge)
        inner = (token[1:] if self.edge == "front" else token[:-1] for token in longer)
        self._spans_words = any(" " in text for text in inner)
        # SentencePiece writes a space in front of a text, also where its pieces are characters.
        if not self.edge and " " in written and segmentation is not None:
            self.edge = "front" if segmentation.method in ("unigram", "bpe") else ""
        self._letters_only = not separator and not longer and not self.edge
        self._forms: dict[str, _Spellings] = {}

    def __call__(self, text: str) -> list[int] | None:
        """Labels that write ``text``; None if none do."""
        if not text and not self.separator:
            return []
        if self._letters_only:
            letters = [self.written.get(letter, -1) for letter in text]
            if -1 not in letters:
                return letters
        framed = {"front": f" {text}", "back": f"{text} "}.get(self.edge, text)
        for form in _FORMS:
            spellings = self._spelt(form)
            for each in dict.fromkeys((framed, text)):
                found = self._cut(_in_form(each, form), spellings)
                if found is not None:
                    return found
        return None

    def _spelt(self, form: str) -> _Spellings:
        if form not in self._forms:
            self._forms[form] = _Spellings(self.written, form)
        return self._forms[form]

    def _cut(self, text: str, spellings: _Spellings) -> list[int] | None:
        cut = self.segmentation
        if self.separator:
            units = [spellings.texts.get(unit, -1) for unit in text.split(self.separator)]
            return None if -1 in units else units
        if cut is None:
            return longest_first(_utf8(text), spellings.contents)
        if cut.method == "unigram":
            return best_scored(text, spellings.texts, cut.scores, spellings.single_bytes)
        labels: list[int] = []
        for word in self._words(text):
            found = self._merged(word, cut, spellings)
            if found is None:
                return None
            labels += found
        return labels

    def _words(self, text: str) -> list[str]:
        """Parts that no label reaches across: merging takes the square of a part's length."""
        if not self.edge or self._spans_words:
            return [text]
        return (_WORD_AND_SPACE if self.edge == "back" else _SPACE_AND_WORD).findall(text)

    def _merged(self, word: str, cut: Segmentation, spellings: _Spellings) -> list[int] | None:
        if cut.method == "bpe":
            return merged_by_score(word, spellings.texts, cut.scores, spellings.single_bytes)
        parts = spellings.smallest_parts(word, self.edge)
        found = [spellings.contents.get(part, -1) for part in parts]
        return None if -1 in found else merged_in_order(found, self._merges)

    @cached_property
    def _merges(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Rank and union of each pair that is merged."""
        assert self.segmentation is not None
        by_content = self._spelt("").contents
        content_of = {index: content for content, index in by_content.items()}
        found: dict[tuple[int, int], tuple[int, int]] = {}
        for rank, pair in enumerate(self.segmentation.merges):
            if pair[0] in content_of and pair[1] in content_of:
                union = by_content.get(content_of[pair[0]] + content_of[pair[1]])
                if union is not None:
                    found.setdefault(pair, (rank, union))
        return found


class _Spellings:
    """The labels in one normal form of Unicode, by text and by bytes.

    Where two labels become one, the first is taken.
    """

    def __init__(self, written: Mapping[str, int], form: str) -> None:
        pairs = [(_in_form(token, form), index) for token, index in written.items()][::-1]
        self.texts = dict(pairs)
        self.contents = {bytes_of(text): index for text, index in pairs}
        self._in_bytes = any(holds_bytes(text) for text in self.texts)
        spelt = ((bytes_of(text), i) for text, i in pairs if holds_bytes(text))
        self.single_bytes = {content[0]: i for content, i in spelt if len(content) == 1}

    def smallest_parts(self, text: str, edge: str) -> list[bytes]:
        """Characters, or bytes where some label is a part of a character.

        A space that pieces hold behind their word is one with the letter in front of it.
        """
        if self._in_bytes:
            content = _utf8(text)
            return [content[at : at + 1] for at in range(len(content))]
        pattern = _LETTER_AND_SPACE if edge == "back" else _CHARACTER
        return [_utf8(part) for part in pattern.findall(text)]


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _in_form(text: str, form: str) -> str:
    if form == "NFC":
        return unicodedata.normalize("NFC", text)
    return unicodedata.normalize("NFD", text) if form else text
