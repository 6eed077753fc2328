"""Lists of rare words: spelled differently they are the same, and each word is counted."""

from __future__ import annotations

from pathlib import Path

from benchmarks.fuzz.case import Answer, Case, Refused, WrongResult, attempt
from benchmarks.fuzz.damage import ODD_TEXTS, damaged
from quantkit.api.slicing import listed_words, wanted_slices
from quantkit.slices.errors import rare_words_of
from quantkit.text.labels import Labels
from quantkit.text.scoring import LabelScoring

_WORDS = ("Aachen", "zwölf", "don't", "naïve", "Şişli", "co-operate", "new york", "7")

_SCORING = LabelScoring(Labels(("_", " ", *"abcdefghijklmnopqrstuvwxyz'äöüşßï7")))


class RareWordLists:
    """``--rare-words FILE``."""

    name, share = "rare-words", 30

    def prepare(self, seeds: Path) -> None:
        pass

    def run(self, case: Case) -> Answer:
        random = case.random
        path = case.folder / "rare.txt"
        plain = "".join(f"{word}\n" for word in _WORDS).encode()
        is_same = random.random() < 0.3
        if is_same:
            path.write_bytes(_respelled(case))
        elif random.random() < 0.5:
            path.write_bytes(_changed(case))
        else:
            path.write_bytes(damaged(plain, random))
        try:
            words = attempt(lambda: listed_words(path))
        except Refused as refusal:
            if is_same:
                raise WrongResult(f"it says the same, and is refused: {refusal}") from None
            raise
        if is_same and words != frozenset(_WORDS):
            raise WrongResult(f"it says the same, and reads {words}")
        if not words or any(not word.strip() or "\n" in word for word in words):
            raise WrongResult(f"accepted, with the words {words}")
        if wanted_slices((), path).rare_words != words:
            raise WrongResult("a verb reads other words")
        _require_found(words)
        return "right"


def _require_found(words: frozenset[str]) -> None:
    """What a list says of a word holds where the word stands among others, too.

    English numbers and contractions are read together with their neighbours, so that is asked of
    labels alone.
    """
    for word in words:
        rare = rare_words_of([word], (), _SCORING)
        said = _SCORING.normalized(f"und {word} und").split()
        if missing := sorted(each for each in rare if each not in said):
            raise WrongResult(f"{word!r} is in the list, and {missing} are not found in a text")


def _respelled(case: Case) -> bytes:
    """In another order, twice, with spaces and empty lines, other line ends, a byte-order mark."""
    random = case.random
    words = random.sample(_WORDS, len(_WORDS))
    words += random.choices(_WORDS, k=random.choice((0, 2)))
    spaces = ("", "", " ", "\t", "  ")
    lines = [f"{random.choice(spaces)}{word}{random.choice(spaces)}" for word in words]
    lines += [random.choice(spaces) for _ in range(random.choice((0, 3)))]
    end = random.choice(("\n", "\r\n"))
    text = end.join(lines) + random.choice(("", end))
    return (b"\xef\xbb\xbf" if random.random() < 0.3 else b"") + text.encode()


def _changed(case: Case) -> bytes:
    lines = [*_WORDS]
    for _ in range(case.random.choice((1, 2, 5))):
        odd = case.random.choice(ODD_TEXTS)
        place = case.random.randrange(len(lines))
        way = case.random.randrange(3)
        if way == 0:
            lines[place] = odd
        elif way == 1:
            lines.insert(place, odd)
        else:
            lines[place] += odd
    return "\n".join(lines).encode("utf-8", "surrogatepass")
