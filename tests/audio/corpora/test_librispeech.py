"""The LibriSpeech tree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quantkit.audio.corpora import load_librispeech, open_corpus
from quantkit.errors import CorpusError

SPEAKERS = """; a comment
;ID  |SEX| SUBSET           |MINUTES| NAME
84   | F | dev-clean        |  8.02 | Christie Nowak
1272 | M | dev-clean        |  8.07 | John | Rose
"""


@pytest.fixture
def root(tmp_path: Path, write_clip: Callable[..., Path]) -> Path:
    """Two subsets, two speakers, three clips."""
    write_clip("dev-clean/84/121123/84-121123-0000.flac", 0.5)
    write_clip("dev-clean/84/121123/84-121123-0001.flac")
    write_clip("train/1272/128104/1272-128104-0000.ogg")
    (tmp_path / "dev-clean/84/121123/84-121123.trans.txt").write_text(
        "84-121123-0000 GO  DO YOU HEAR\n84-121123-0001 BUT IN LESS THAN\n"
    )
    (tmp_path / "train/1272/128104/1272-128104.trans.txt").write_text(
        "1272-128104-0000 MISTER QUILTER'S\n"
    )
    (tmp_path / "SPEAKERS.TXT").write_text(SPEAKERS)
    (tmp_path / "README.TXT").write_text("about")
    return tmp_path


def test_the_whole_corpus(root: Path) -> None:
    corpus = open_corpus(root)
    assert [u.identifier for u in corpus] == [
        "dev-clean/84/121123/84-121123-0000.flac",
        "dev-clean/84/121123/84-121123-0001.flac",
        "train/1272/128104/1272-128104-0000.ogg",
    ]
    assert [u.text for u in corpus] == ["go do you hear", "but in less than", "mister quilter's"]
    assert [u.split for u in corpus] == ["dev-clean", "dev-clean", "train"]
    assert [u.speaker for u in corpus] == ["84", "84", "1272"]
    assert [u.gender for u in corpus] == ["f", "f", "m"]
    assert {u.language for u in corpus} == {"en"}
    assert corpus.skipped == ()


@pytest.mark.parametrize("below", ["dev-clean", "dev-clean/84", "dev-clean/84/121123"])
def test_a_part_of_it_keeps_split_and_gender(root: Path, below: str) -> None:
    corpus = open_corpus(root / below)
    assert len(corpus) == 2
    assert {u.split for u in corpus} == {"dev-clean"}
    if below != "dev-clean/84/121123":
        assert {u.gender for u in corpus} == {"f"}


def test_without_speakers_file_gender_is_unknown(root: Path) -> None:
    (root / "SPEAKERS.TXT").unlink()
    assert {u.gender for u in load_librispeech(root)} == {""}


def test_durations_are_read_on_demand(root: Path) -> None:
    corpus = load_librispeech(root)
    assert corpus.seconds == 0.0
    assert corpus.screened().seconds == pytest.approx(1.0)
    assert len(corpus.select(min_seconds=0.4)) == 1


def test_missing_and_unlisted_clips_are_skipped_and_named(root: Path) -> None:
    chapter = root / "dev-clean/84/121123"
    (chapter / "84-121123-0000.flac").rename(chapter / "84-121123-0009.flac")
    corpus = load_librispeech(root)
    assert len(corpus) == 2
    assert corpus.skipped == (
        f"{chapter / '84-121123-0000'}: no such file",
        f"{chapter / '84-121123-0009.flac'}: has no line in 84-121123.trans.txt",
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("84-121123-0000 AGAIN", "line 3: 84-121123-0000 is already named in line 1"),
        ("84-121123-0002", "line 3: expected SPEAKER-CHAPTER-NUMBER and its text"),
        ("../../secret TEXT", "line 3: expected SPEAKER-CHAPTER-NUMBER"),
        ("THE TEXT ALONE", "line 3: expected SPEAKER-CHAPTER-NUMBER"),
    ],
)
def test_malformed_lines_are_refused(root: Path, line: str, message: str) -> None:
    with (root / "dev-clean/84/121123/84-121123.trans.txt").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(CorpusError, match=message):
        load_librispeech(root)


def test_a_malformed_speakers_file_is_refused(root: Path) -> None:
    (root / "SPEAKERS.TXT").write_text("; fine\n84 | unknown | dev-clean\n")
    with pytest.raises(CorpusError, match=r"SPEAKERS\.TXT, line 2"):
        load_librispeech(root)


def test_not_utf8_is_refused(root: Path) -> None:
    (root / "train/1272/128104/1272-128104.trans.txt").write_bytes(b"1272-128104-0000 CAF\xc9\n")
    with pytest.raises(CorpusError, match=r"trans\.txt, line 1: not UTF-8"):
        load_librispeech(root)


def test_links_out_of_the_corpus_are_refused(root: Path) -> None:
    clip = root / "dev-clean/84/121123/84-121123-0000.flac"
    outside = root / "outside.flac"
    clip.rename(outside)
    clip.symlink_to(outside)
    with pytest.raises(CorpusError, match="is a link that leaves"):
        load_librispeech(root / "dev-clean")
