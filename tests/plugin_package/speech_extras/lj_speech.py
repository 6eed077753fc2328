"""LJ Speech: ``wavs/`` beside a table without a header, of names, texts and normalised texts."""

from __future__ import annotations

from pathlib import Path

from quantkit.audio.corpora import Layout
from quantkit.audio.corpora.files import contained_path, read_lines
from quantkit.audio.utterance import Corpus, Utterance, usable_corpus

_TABLE = "metadata.csv"


def _is_lj_speech(folder: Path) -> bool:
    return (folder / "wavs").is_dir() and (folder / _TABLE).is_file()


def _load(folder: Path) -> Corpus:
    root = folder.resolve()
    utterances = []
    for number, line in enumerate(read_lines(folder / _TABLE), start=1):
        name, _, text = line.split("|")
        clip = f"wavs/{name}.wav"
        path = contained_path(folder, root, clip, f"{folder / _TABLE}, line {number}")
        utterances.append(Utterance(path, text, speaker="LJ", language="en", name=clip))
    return usable_corpus(str(folder), utterances, ())


LAYOUT = Layout(_load, _is_lj_speech)
