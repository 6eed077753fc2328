"""Sentences to make a language model of, from books in plain text and a corpus's own transcripts.

``python -m benchmarks.english_texts BOOK… --librispeech FOLDER -o sentences.txt`` writes a sentence
a line as IRSTLM reads them: in lower case, letters and apostrophes only, ``<s>`` before and
``</s>`` behind it, ``<unk>`` for words that occur once. Transcripts are those that the shipped
Wav2Letter was trained on. A sentence that shares seven words in a row with another one of the
corpus is left out. ``models/wav2letter-en/language_model.sh`` runs it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from benchmarks.cells import ROOT
from benchmarks.recipes import sources_of
from quantkit.audio.corpora import open_corpus
from quantkit.text.labels import Labels
from quantkit.training.mixture import open_source

_TITLES = {"mr": "mister", "mrs": "missus", "dr": "doctor"}
_ABBREVIATED = re.compile(r"\b(mr|mrs|dr|st|esq|hon|messrs)\.", re.IGNORECASE)
_ENDS = re.compile(r"[.!?;:]+[\"')\]]*\s|\n\s*\n|--")
_SHARED_WORDS = 7


def sentences_of(text: str) -> Iterator[list[str]]:
    """The words of each sentence; sentences with digits, or of one word, are left out.

    >>> list(sentences_of("Mr. Bennet’s wife was -- well, ill. It was 1812. No. He didn't say so!"))
    [['mister', "bennet's", 'wife', 'was'], ['well', 'ill'], ['he', "didn't", 'say', 'so']]
    """
    plain = text.replace("’", "'").replace("_", " ").replace("\r", "")
    for sentence in _ENDS.split(_ABBREVIATED.sub(r"\1", plain) + " "):
        if re.search(r"\d", sentence):
            continue
        letters = re.sub(r"[^a-z' ]+", " ", sentence.lower().replace("\n", " "))
        bare = re.sub(r"(?<![a-z])'|'(?![a-z])", " ", letters)
        words = [_TITLES.get(word, word) for word in bare.split()]
        if len(words) > 1:
            yield words


def without_shared(
    sentences: Iterable[list[str]], held_out: Iterable[list[str]]
) -> Iterator[list[str]]:
    """Those that share no seven words in a row with a held-out text."""
    forbidden = {run for words in held_out for run in _runs(words)}
    return (words for words in sentences if forbidden.isdisjoint(_runs(words)))


def _runs(words: list[str]) -> Iterator[tuple[str, ...]]:
    return (
        tuple(words[start : start + _SHARED_WORDS])
        for start in range(len(words) - _SHARED_WORDS + 1)
    )


@click.command()
@click.argument("books", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--librispeech", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--times", default=3, show_default=True, help="How often transcripts are taken.")
@click.option("--least", default=2, show_default=True, help="Occurrences of a word that is known.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
def main(books: tuple[Path, ...], librispeech: Path, times: int, least: int, output: Path) -> None:
    """Write the sentences of all books and of the clips that were trained on."""
    source = sources_of(ROOT / "models" / "wav2letter-en")["librispeech"]
    trained_on = open_source(source, librispeech, Labels.english(), "train")
    training = [(u.text or "").split() for u in trained_on]
    seen = {u.identifier for u in trained_on}
    speech = open_corpus(librispeech)
    held_out = [(u.text or "").split() for u in speech if u.identifier not in seen]
    every: list[list[str]] = []
    for book in books:
        text = book.read_text(encoding="utf-8", errors="replace")
        every += without_shared(sentences_of(text), held_out)
    every = [*map(list, dict.fromkeys(map(tuple, every)))]
    every += training * times
    counts = Counter(word for words in every for word in words)
    with output.open("w", encoding="utf-8") as stream:
        for words in every:
            known = (word if counts[word] >= least else "<unk>" for word in words)
            stream.write(f"<s> {' '.join(known)} </s>\n")
    click.echo(f"{output}: {len(every):,} sentences, {sum(counts.values()):,} words")


if __name__ == "__main__":
    main()
