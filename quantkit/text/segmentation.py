"""Text cut into the labels that a model writes it with, where labels are longer than a letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

from quantkit.errors import InputError
from quantkit.json_fields import Fields, items_of, number_of, whole_of

Method = Literal["unigram", "bpe", "merges"]

# Of SentencePiece: what a character costs that no piece holds, below the worst piece.
_UNKNOWN_PENALTY = 10.0


@dataclass(frozen=True)
class Segmentation:
    """How a tokenizer cuts a text into pieces; two pieces are equal where their spellings are.

    Args:
        method: ``unigram``, the cut of the highest sum of scores (Kudo, "Subword Regularization",
            ACL 2018, section 3.2); ``bpe``, the two neighbours whose union has the highest score
            become one, again and again (Sennrich et al., "Neural Machine Translation of Rare Words
            with Subword Units", ACL 2016, as SentencePiece stores it); ``merges``, the same from a
            list of pairs in the order of their merging.
        scores: of each label, for ``unigram`` and ``bpe``.
        merges: pairs of labels, for ``merges``.
    """

    method: Method
    scores: tuple[float, ...] = ()
    merges: tuple[tuple[int, int], ...] = ()

    def checked(self, labels: int) -> Segmentation:
        """This one, if it fits so many labels.

        Raises:
            InputError: it does not.
        """
        if self.method not in get_args(Method):
            raise InputError(f"there is no segmentation {self.method!r}")
        if self.method != "merges" and len(self.scores) != labels:
            raise InputError(f"{len(self.scores)} scores do not fit {labels} labels")
        if any(not 0 <= index < labels for pair in self.merges for index in pair):
            raise InputError(f"merges name a label beyond the {labels}")
        return self

    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_fields` reads."""
        if self.method == "merges":
            return {"method": self.method, "merges": [list(pair) for pair in self.merges]}
        return {"method": self.method, "scores": list(self.scores)}

    @classmethod
    def from_fields(cls, content: Fields) -> Segmentation:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: another content.
        """
        method = content.choice("method", get_args(Method))
        if method != "merges":
            scores = content.items("scores")
            return cls(method, tuple(number_of(each, content.where) for each in scores))
        pairs = [items_of(pair, content.where) for pair in content.items("merges")]
        if any(len(pair) != 2 for pair in pairs):
            raise InputError(f"{content.where}: merges are not pairs")
        where = content.where
        return cls(method, merges=tuple((whole_of(a, where), whole_of(b, where)) for a, b in pairs))


def longest_first(content: bytes, keys: Mapping[bytes, int]) -> list[int] | None:
    """The longest label first, of those that leave a rest that can be cut; None if there is none.

    >>> longest_first(b"abc", {b"a": 0, b"ab": 1, b"bc": 2})
    [0, 2]

    Args:
        content: the text in UTF-8.
        keys: index of each label by its bytes.
    """
    longest = max(map(len, keys), default=0)
    size = len(content)
    ends = [False] * size + [True]
    for start in range(size - 1, -1, -1):
        ends[start] = any(
            ends[stop] and content[start:stop] in keys
            for stop in range(start + 1, min(start + longest, size) + 1)
        )
    if not ends[0]:
        return None
    found, start = [], 0
    while start < size:
        stops = range(min(start + longest, size), start, -1)
        stop = next(stop for stop in stops if ends[stop] and content[start:stop] in keys)
        found.append(keys[content[start:stop]])
        start = stop
    return found


def best_scored(
    text: str, keys: Mapping[str, int], scores: Sequence[float], fallback: Mapping[int, int]
) -> list[int] | None:
    """The cut of the highest sum of scores, by Viterbi's algorithm.

    Args:
        keys: index of each label by its text.
        scores: of each label.
        fallback: index of the label of each byte, for characters that no label holds.

    Returns:
        None where a character cannot be written.
    """
    longest = max(map(len, keys), default=0)
    worst = min((scores[index] for index in keys.values()), default=0.0) - _UNKNOWN_PENALTY
    best: list[tuple[float, int, int]] = [(0.0, 0, -1)]
    for stop in range(1, len(text) + 1):
        # A character of its own is always possible, and read as unknown where it is no label.
        chosen = (best[stop - 1][0] + worst, stop - 1, keys.get(text[stop - 1], -1))
        for start in range(max(0, stop - longest), stop):
            index = keys.get(text[start:stop])
            if index is not None and (total := best[start][0] + scores[index]) >= chosen[0]:
                chosen = (total, start, index)
        best.append(chosen)
    backwards: list[int | str] = []
    stop = len(text)
    while stop:
        _, start, index = best[stop]
        backwards.append(index if index >= 0 else text[start:stop])
        stop = start
    return _spelled(backwards[::-1], fallback)


def merged_by_score(
    text: str, keys: Mapping[str, int], scores: Sequence[float], fallback: Mapping[int, int]
) -> list[int] | None:
    """Neighbours whose union is the label of the highest score become one, again and again.

    Args, Returns: as :func:`best_scored`.
    """
    units = [*text]
    while True:
        unions = (keys.get(a + b) for a, b in pairwise(units))
        ranked = [(scores[index], -at) for at, index in enumerate(unions) if index is not None]
        if not ranked:
            break
        at = -max(ranked)[1]
        units[at : at + 2] = [units[at] + units[at + 1]]
    return _spelled([keys.get(unit, unit) for unit in units], fallback)


def merged_in_order(
    units: Sequence[int], merges: Mapping[tuple[int, int], tuple[int, int]]
) -> list[int]:
    """The pairs of neighbours that were merged first become one, again and again.

    Args:
        units: labels of single characters or bytes.
        merges: rank and union of each pair.
    """
    labels = [*units]
    while True:
        pairs = enumerate(pairwise(labels))
        ranked = [(merges[pair][0], at) for at, pair in pairs if pair in merges]
        if not ranked:
            return labels
        _, at = min(ranked)
        labels[at : at + 2] = [merges[labels[at], labels[at + 1]][1]]


def _spelled(units: Sequence[int | str], fallback: Mapping[int, int]) -> list[int] | None:
    """Labels, where units that are none are written byte by byte."""
    labels: list[int] = []
    for unit in units:
        if isinstance(unit, int):
            labels.append(unit)
            continue
        spelled = [fallback.get(byte, -1) for byte in unit.encode("utf-8", "surrogatepass")]
        if -1 in spelled:
            return None
        labels += spelled
    return labels
