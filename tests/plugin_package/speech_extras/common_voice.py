"""Mozilla Common Voice: ``clips/`` beside one table of clips per split."""

from __future__ import annotations

import csv
from pathlib import Path

from quantkit.audio.corpora import Layout
from quantkit.audio.corpora.files import contained_path, read_lines
from quantkit.audio.utterance import Corpus, Utterance, usable_corpus

_SPLITS = {"train.tsv": "train", "dev.tsv": "validation", "test.tsv": "test"}


def _is_common_voice(folder: Path) -> bool:
    return (folder / "clips").is_dir() and any((folder / name).is_file() for name in _SPLITS)


def _load(folder: Path) -> Corpus:
    root = folder.resolve()
    utterances = []
    for table, split in _SPLITS.items():
        if not (folder / table).is_file():
            continue
        rows = csv.DictReader(
            read_lines(folder / table), delimiter="\t", quoting=csv.QUOTE_NONE, restval=""
        )
        for number, row in enumerate(rows, start=2):
            name = f"clips/{row['path']}"
            utterances.append(
                Utterance(
                    path=contained_path(folder, root, name, f"{folder / table}, line {number}"),
                    text=row["sentence"],
                    speaker=row["client_id"],
                    gender=row.get("gender", ""),
                    language=row.get("locale", ""),
                    split=split,
                    name=name,
                )
            )
    return usable_corpus(str(folder), utterances, ())


LAYOUT = Layout(_load, _is_common_voice)
