"""The output alphabet of a CTC model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from quantkit.errors import FormatError, InputError
from quantkit.json_fields import Fields, parse_json


@dataclass(frozen=True)
class Labels:
    """The tokens of a CTC model in output order, one of them the blank.

    >>> labels = Labels.english()
    >>> labels.decode(labels.encode("it's on"))
    "it's on"

    Args:
        tokens: one string per output channel; the blank's own string is never printed.
        blank: index of the CTC blank in ``tokens``.
        separator: between tokens in text: ``""`` for letters, ``" "`` for phonemes.
        silent: indices of further tokens that are never printed, such as ``<unk>``.
    """

    tokens: tuple[str, ...]
    blank: int = 0
    separator: str = ""
    silent: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.blank < len(self.tokens):
            raise InputError(f"blank index {self.blank} is outside the {len(self.tokens)} labels")
        if not all(0 <= index < len(self.tokens) for index in self.silent):
            raise InputError(f"silent labels {self.silent} are not all below {len(self.tokens)}")
        if len(set(self.tokens)) != len(self.tokens):
            raise InputError("labels repeat a token")

    @classmethod
    def english(cls) -> Labels:
        """Blank, space, apostrophe and the 26 lower-case letters: 29 labels."""
        return cls(("<blank>", " ", "'", *"abcdefghijklmnopqrstuvwxyz"))

    @classmethod
    def hw4p2(cls) -> Labels:
        """The 35 labels of CMU 11-785's HW4P2, in its order; its padding token is the blank."""
        signs = ("-", "'", ".", "_", "+", " ", "<sos>", "<eos>")
        return cls(("<pad>", *"abcdefghijklmnopqrstuvwxyz", *signs))

    @classmethod
    def of_texts(cls, texts: Iterable[str], separator: str = "") -> Labels:
        """Blank, then every unit of ``texts`` in sorted order.

        Raises:
            InputError: the texts are empty.
        """
        units = {u for t in texts for u in (t.split(separator) if separator else t)} - {""}
        if not units:
            raise InputError("no label can be learnt from empty transcripts")
        return cls(("<blank>", *sorted(units)), separator=separator)

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """Token indices of ``text``, which must hold only tokens of this alphabet.

        Raises:
            InputError: a character or phoneme that is not a label.
        """
        index = {token: i for i, token in enumerate(self.tokens) if not self._is_mute(i)}
        units: Iterable[str] = text if not self.separator else text.split(self.separator)
        try:
            return [index[unit] for unit in units]
        except KeyError as error:
            raise InputError(f"{error.args[0]!r} in {text!r} is not one of the labels") from None

    def covers(self, text: str) -> bool:
        """Whether every unit of ``text`` is a label."""
        known = {token for i, token in enumerate(self.tokens) if not self._is_mute(i)}
        return all(
            unit in known for unit in (text.split(self.separator) if self.separator else text)
        )

    def decode(self, indices: Sequence[int]) -> str:
        """Text of token indices that are already collapsed (no blanks, no CTC repeats)."""
        return self.separator.join(self.tokens[i] for i in indices if i not in self.silent)

    def _is_mute(self, index: int) -> bool:
        return index == self.blank or index in self.silent

    def to_json(self) -> str:
        """The JSON stored in an artifact's ``quantkit.labels`` metadata."""
        content: dict[str, Any] = {
            "tokens": list(self.tokens),
            "blank": self.blank,
            "separator": self.separator,
        }
        if self.silent:
            content["silent"] = list(self.silent)
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Labels:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: not the JSON that :meth:`to_json` writes.
        """
        where = "the labels"
        content = Fields(parse_json(text, where), where)
        try:
            return cls(
                content.texts("tokens"),
                content.whole("blank"),
                content.text("separator", default=""),
                content.wholes("silent") if content.has("silent") else (),
            )
        except InputError as error:
            raise FormatError(f"labels are not readable: {error}") from error
