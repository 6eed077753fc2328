"""The output alphabet of a model that gives labels for each frame."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from quantkit.errors import FormatError, InputError
from quantkit.json_fields import Fields, has_lone_surrogate, parse_json
from quantkit.text.asg import Asg
from quantkit.text.byte_labels import holds_bytes, with_bytes_read
from quantkit.text.cutter import Cutter
from quantkit.text.segmentation import Segmentation

#: Index of the blank of an alphabet without one.
NO_BLANK = -1


@dataclass(frozen=True)
class Labels:
    """The tokens of a CTC model in output order, one of them the blank.

    The labels of a classifier are its classes, without a blank; each stands for a whole clip.

    A model that was trained with the auto segmentation criterion (:mod:`quantkit.text.asg`) has no
    blank, and symbols for letters that repeat:

    >>> letters = Labels.english().without_blank()
    >>> letters.decode(letters.encode("all")), [letters.tokens[i] for i in letters.encode("all")]
    ('all', [' ', 'a', 'l', '<1>', ' '])

    >>> labels = Labels.english()
    >>> labels.decode(labels.encode("it's on"))
    "it's on"

    Pieces of words hold the space that stands before or behind them.

    >>> pieces = Labels(("<blank>", " the", " cat", "s", " "))
    >>> pieces.encode("the cats"), pieces.decode([1, 2, 3])
    ([1, 2, 3], 'the cats')

    Args:
        tokens: one string per output channel, as it is printed; the blank's is never. ``<0xE9>``
            stands for a byte of UTF-8.
        blank: index of the CTC blank in ``tokens``; :data:`NO_BLANK` where ``asg`` is given, and
            for classes.
        separator: between tokens in text: ``""`` for letters and pieces, ``" "`` for phonemes.
        silent: indices of further tokens that are never printed, such as ``<unk>``.
        segmentation: how a text is cut into tokens of several characters; None: the longest first.
        alike: whether several tokens may be printed alike, as pieces of several languages are; a
            text is written with the first of them.
        asg: repetition symbols, which are silent, and transitions; None for CTC. Where a space is
            among the tokens, silence before and behind a text is written as one.
        per_clip: whether each stands for a whole clip, as the classes of a classifier do.
    """

    tokens: tuple[str, ...]
    blank: int = 0
    separator: str = ""
    silent: tuple[int, ...] = ()
    segmentation: Segmentation | None = None
    alike: bool = False
    asg: Asg | None = None
    per_clip: bool = False

    def __post_init__(self) -> None:
        if self.asg is not None:
            self.asg.checked(len(self.tokens))
            if self.blank != NO_BLANK or not set(self.asg.repeats) <= set(self.silent):
                raise InputError("labels of ASG have no blank, and repetition symbols are silent")
        elif self.per_clip:
            if self.blank != NO_BLANK or not self.tokens:
                raise InputError("classes have no blank, and there is at least one")
        elif not 0 <= self.blank < len(self.tokens):
            raise InputError(f"blank index {self.blank} is outside the {len(self.tokens)} labels")
        if not all(0 <= index < len(self.tokens) for index in self.silent):
            raise InputError(f"silent labels {self.silent} are not all below {len(self.tokens)}")
        if broken := [i for i, token in enumerate(self.tokens) if has_lone_surrogate(token)]:
            raise InputError(f"label {broken[0]} holds half of a character, which no text can")
        if not self.alike and len(set(self.tokens)) != len(self.tokens):
            twice = next(token for token, times in Counter(self.tokens).items() if times > 1)
            raise InputError(f"labels repeat a token: {twice!r}")
        if self.segmentation is not None:
            self.segmentation.checked(len(self.tokens))

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

    @classmethod
    def of_classes(cls, classes: Sequence[str]) -> Labels:
        """Those of a classifier."""
        return cls(tuple(classes), NO_BLANK, separator=" ", per_clip=True)

    def without_blank(self, repeats: int = 2) -> Labels:
        """The same alphabet for ASG: without the blank, with symbols for ``repeats`` repeats.

        All transitions are 0 nats.

        Raises:
            InputError: these labels have no blank.
        """
        if self.blank == NO_BLANK:
            raise InputError("these labels have no blank already")
        kept = [token for i, token in enumerate(self.tokens) if i != self.blank]
        moved = tuple(i - (i > self.blank) for i in self.silent if i != self.blank)
        symbols = tuple(range(len(kept), len(kept) + repeats))
        count = len(kept) + repeats
        return replace(
            self,
            tokens=(*kept, *(f"<{number}>" for number in range(1, repeats + 1))),
            blank=NO_BLANK,
            silent=(*moved, *symbols),
            asg=Asg(symbols, ((0.0,) * count,) * count),
        )

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def written(self) -> dict[str, int]:
        """Index of each token that a text may hold: all but the blank and the silent ones."""
        mute = {self.blank, *self.silent}
        backwards = reversed([*enumerate(self.tokens)])
        found = {token: i for i, token in backwards if i not in mute}
        return dict(sorted(found.items(), key=lambda pair: pair[1]))

    @cached_property
    def characters(self) -> frozenset[str]:
        """The characters of all tokens that a text may hold, and that are no names of something."""
        texts = (t for t in self.written if not (t[:1] == "<" and t[1:].endswith(">")))
        return frozenset("".join(text for text in texts if not holds_bytes(text)))

    @property
    def has_words(self) -> bool:
        """Whether spaces that it writes divide words."""
        return not self.separator and " " in self.characters

    @property
    def are_pieces(self) -> bool:
        """Whether tokens are pieces of words, with the space before or behind them."""
        return self._cut.are_pieces

    def encode(self, text: str) -> list[int]:
        """Token indices of ``text``, which must hold only what these tokens can write.

        Letters with marks may be composed or not, in the text as in the tokens.

        Raises:
            InputError: a character or phoneme that is not a label.
        """
        found = self._cut(text)
        if found is None:
            units = text.split(self.separator) if self.separator else text
            odd = next((unit for unit in units if self._cut(unit) is None), text)
            raise InputError(f"{odd!r} in {text!r} is not one of the labels")
        if self.asg is None:
            return found
        silence = self.written.get(" ")
        if silence is not None:
            # Spaces are silence, which is no longer for being written twice.
            padded = [silence, *found, silence]
            before = [NO_BLANK, *padded]
            pairs = zip(before, padded, strict=False)
            found = [each for last, each in pairs if each != silence or last != silence]
        return self.asg.packed(found)

    def covers(self, text: str) -> bool:
        """Whether these tokens can write ``text``."""
        return self._cut(text) is not None

    def decode(self, indices: Sequence[int]) -> str:
        """Text of token indices that are already collapsed (no blanks, no CTC repeats)."""
        if self.asg is not None:
            indices = self.asg.unpacked(indices)
        text = self.separator.join(self.tokens[i] for i in indices if i not in self.silent)
        if self._holds_bytes:
            text = with_bytes_read(text)
        return text.strip(" ") if self._cut.edge or self.asg is not None else text

    def to_json(self) -> str:
        """The JSON stored in an artifact's ``quantkit.labels`` metadata."""
        content: dict[str, Any] = {
            "tokens": list(self.tokens),
            "blank": None if self.blank == NO_BLANK else self.blank,
            "separator": self.separator,
        }
        if self.silent:
            content["silent"] = list(self.silent)
        if self.segmentation is not None:
            content["segmentation"] = self.segmentation.to_json()
        if self.alike:
            content["alike"] = True
        if self.asg is not None:
            content["asg"] = self.asg.to_json()
        if self.per_clip:
            content["per_clip"] = True
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Labels:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: not the JSON that :meth:`to_json` writes.
        """
        where = "the labels"
        content = Fields(parse_json(text, where), where)
        cut, asg = content.has("segmentation"), content.has("asg")
        per_clip = content.flag("per_clip", default=False)
        has_blank = content.has("blank") or not (asg or per_clip)
        try:
            return cls(
                content.texts("tokens"),
                content.whole("blank") if has_blank else NO_BLANK,
                content.text("separator", default=""),
                content.wholes("silent") if content.has("silent") else (),
                Segmentation.from_fields(content.child("segmentation")) if cut else None,
                content.flag("alike", default=False),
                Asg.from_fields(content.child("asg")) if asg else None,
                per_clip,
            )
        except FormatError:
            raise
        except InputError as error:
            raise FormatError(f"{where} are not readable: {error}") from error

    @cached_property
    def _holds_bytes(self) -> bool:
        return any(map(holds_bytes, self.tokens))

    @cached_property
    def _cut(self) -> Cutter:
        return Cutter(self.written, self.separator, self.segmentation)
