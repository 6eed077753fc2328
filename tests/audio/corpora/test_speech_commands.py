"""Google Speech Commands: a folder per word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quantkit.audio.corpora import load_speech_commands, open_corpus
from quantkit.errors import CorpusError


@pytest.fixture
def root(tmp_path: Path, write_clip: Callable[..., Path]) -> Path:
    write_clip("yes/0a7c2a8d_nohash_0.wav")
    write_clip("yes/0a7c2a8d_nohash_1.wav")
    write_clip("no/ffd2ba2f_nohash_0.wav")
    write_clip("_silence_/1024.wav")
    write_clip("_background_noise_/white_noise.wav", 2.0)
    return tmp_path


def test_the_class_is_the_text_and_the_hash_the_speaker(root: Path) -> None:
    corpus = open_corpus(root)
    assert [(u.identifier, u.text, u.speaker) for u in corpus] == [
        ("_silence_/1024.wav", "silence", ""),
        ("no/ffd2ba2f_nohash_0.wav", "no", "ffd2ba2f"),
        ("yes/0a7c2a8d_nohash_0.wav", "yes", "0a7c2a8d"),
        ("yes/0a7c2a8d_nohash_1.wav", "yes", "0a7c2a8d"),
    ]
    assert {u.split for u in corpus} == {""}


def test_the_lists_say_what_is_not_for_training(root: Path) -> None:
    (root / "testing_list.txt").write_text("yes/0a7c2a8d_nohash_1.wav\nbed/not_here.wav\n")
    (root / "validation_list.txt").write_text("no/ffd2ba2f_nohash_0.wav\n")
    corpus = load_speech_commands(root)
    assert {u.identifier: u.split for u in corpus} == {
        "_silence_/1024.wav": "train",
        "no/ffd2ba2f_nohash_0.wav": "validation",
        "yes/0a7c2a8d_nohash_0.wav": "train",
        "yes/0a7c2a8d_nohash_1.wav": "test",
    }


def test_recoded_clips_still_match_the_lists(root: Path, write_clip: Callable[..., Path]) -> None:
    write_clip("go/0a7c2a8d_nohash_0.ogg")
    (root / "testing_list.txt").write_text("go/0a7c2a8d_nohash_0.wav\n")
    (only,) = load_speech_commands(root).select(split="test")
    assert only.text == "go"


def test_empty_clips_are_skipped_and_named(root: Path) -> None:
    (root / "yes/0a7c2a8d_nohash_1.wav").write_bytes(b"")
    corpus = load_speech_commands(root)
    assert len(corpus) == 3
    assert corpus.skipped == (f"{root / 'yes/0a7c2a8d_nohash_1.wav'}: is empty",)


def test_a_clip_in_both_lists_is_refused(root: Path) -> None:
    for name in ("testing_list.txt", "validation_list.txt"):
        (root / name).write_text("no/ffd2ba2f_nohash_0.wav\n")
    with pytest.raises(CorpusError, match=r"validation_list\.txt, line 1: .*another split list"):
        load_speech_commands(root)


def test_a_malformed_list_is_refused(root: Path) -> None:
    (root / "testing_list.txt").write_text("no/ffd2ba2f_nohash_0.wav\nffd2ba2f\n")
    with pytest.raises(CorpusError, match=r"testing_list\.txt, line 2: 'ffd2ba2f' is not"):
        load_speech_commands(root)


def test_links_out_of_the_corpus_are_skipped(root: Path, write_clip: Callable[..., Path]) -> None:
    inner = root / "inner"
    write_clip("inner/go/0a7c2a8d_nohash_0.wav")
    (inner / "go/0a7c2a8d_nohash_1.wav").symlink_to(root / "yes/0a7c2a8d_nohash_1.wav")
    corpus = load_speech_commands(inner)
    assert len(corpus) == 1
    assert "is a link that leaves the corpus" in corpus.skipped[0]
