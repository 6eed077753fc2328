"""Which clips of a folder the options of every command mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.audio.corpora import open_corpus
from quantkit.cli.corpus_options import CorpusOptions
from quantkit.errors import CorpusError, InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    noise = 0.1 * np.random.default_rng(0).standard_normal(4_000)
    for name in ("one", "two"):
        soundfile.write(tmp_path / f"{name}.wav", noise, 16_000)
    return tmp_path


def in_language(folder: Path, *language: str) -> list[str]:
    chosen = CorpusOptions((), (), language, None).selection().filtered(open_corpus(folder))
    return [clip.language for clip in chosen]


def test_where_no_clip_says_its_language_all_are_in_the_one_that_is_named(folder: Path) -> None:
    assert in_language(folder, "de") == ["de", "de"]


def test_where_clips_say_theirs_the_others_are_left_out(folder: Path) -> None:
    rows = ("path\tlanguage\ttext", "one.wav\tde\tja", "two.wav\ten\tyes")
    (folder / "manifest.tsv").write_text("\n".join(rows))
    assert in_language(folder, "de") == ["de"]
    with pytest.raises(CorpusError, match="language is one of: de, en"):
        in_language(folder, "fr")


def test_a_language_is_named_by_its_code(folder: Path) -> None:
    with pytest.raises(InputError, match="a code such as en or de, not 'German'"):
        in_language(folder, "German")


def test_several_languages_may_be_named_where_clips_say_theirs(folder: Path) -> None:
    with pytest.raises(InputError, match="says its language; name one only"):
        in_language(folder, "de", "en")
    rows = ("path\tlanguage\ttext", "one.wav\tde\tja", "two.wav\ten\tyes")
    (folder / "manifest.tsv").write_text("\n".join(rows))
    assert in_language(folder, "de", "en") == ["de", "en"]
