"""What a file says of a model's outputs, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from quantkit.errors import InputError

#: How names mark the words that they are pieces of; see :mod:`.spelling`.
Spelling = Literal[
    "letters", "sentencepiece", "wordpiece", "suffix", "continued", "gpt2-bytes", "icefall-bytes"
]


@dataclass(frozen=True)
class LabelTable:
    """Names of a model's outputs, and what their file says of them.

    Args:
        names: in the order of the outputs.
        origin: the file, for messages.
        blank: name of the CTC blank; None: the file does not say.
        blank_is_last: whether the format leaves out a blank behind the others.
        silent: names that are never printed, beside those that look like it.
        space: name of the space; empty: there is none; None: the file does not say.
        separator: between labels in a text; None: the file does not say.
        spelling: None: the file does not say.
        scores: of each name, by which a tokenizer cuts a text.
        method: of cutting, with ``scores``.
        merges: pairs of positions in ``names`` that a tokenizer merges.
        lower: whether the tokenizer writes in lower case.
        alike: whether names are repeated on purpose, as those of several languages are.
    """

    names: tuple[str, ...]
    origin: str
    blank: str | None = None
    blank_is_last: bool = False
    silent: frozenset[str] = frozenset()
    space: str | None = None
    separator: str | None = None
    spelling: Spelling | None = None
    scores: tuple[float, ...] = ()
    method: Literal["unigram", "bpe"] = "unigram"
    merges: tuple[tuple[int, int], ...] = ()
    lower: bool = False
    alike: bool = False


def names_in_order(numbers: Mapping[str, int], origin: str) -> list[str]:
    """Names by number.

    Raises:
        InputError: two names have one number, or a number is skipped.
    """
    return ordered([(number, name) for name, number in numbers.items()], origin)


def ordered(pairs: Sequence[tuple[int, str]], origin: str) -> list[str]:
    """The names of ``pairs`` by number.

    Raises:
        InputError: as :func:`names_in_order`.
    """
    by_number: dict[int, str] = {}
    for number, name in pairs:
        if (other := by_number.setdefault(number, name)) != name:
            raise InputError(f"{origin} gives the number {number} to {other!r} and to {name!r}")
    if not by_number:
        raise InputError(f"labels {origin} are empty")
    gap = next((i for i in range(len(by_number)) if i not in by_number), None)
    if gap is not None:
        raise InputError(
            f"{origin} names {len(by_number)} outputs, but none has the number {gap}: their "
            f"numbers are not 0 to {len(by_number) - 1}"
        )
    return [by_number[number] for number in range(len(by_number))]
