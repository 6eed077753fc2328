"""Data folders of Kaldi."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.errors import CorpusError

WriteClip = Callable[..., Path]


def test_recordings_with_texts_and_speakers(tmp_path: Path, write_clip: WriteClip) -> None:
    write_clip("wav/a.wav")
    write_clip("wav/b.flac")
    (tmp_path / "wav.scp").write_text(f"ann-1 wav/a.wav\nbob-1\t{tmp_path}/wav/b.flac\n")
    (tmp_path / "text").write_text("ann-1 it is  on\nbob-1 no\n")
    (tmp_path / "utt2spk").write_text("ann-1 ann\nbob-1 bob\n")
    (tmp_path / "spk2gender").write_text("ann f\nbob m\n")
    (tmp_path / "utt2dur").write_text("ann-1 0.25\n")
    corpus = open_corpus(tmp_path)
    assert [(u.identifier, u.text, u.speaker, u.gender, u.seconds) for u in corpus] == [
        ("wav/a.wav", "it is  on", "ann", "f", 0.25),
        ("wav/b.flac", "no", "bob", "m", 0.0),
    ]


def test_folders_of_splits_name_files_from_the_folder_above(
    tmp_path: Path, write_clip: WriteClip
) -> None:
    for split in ("dev", "test"):
        write_clip(f"audio/{split}.wav")
        (tmp_path / "data" / split).mkdir(parents=True)
        (tmp_path / "data" / split / "wav.scp").write_text(f"{split} audio/{split}.wav\n")
    assert [(u.identifier, u.split, u.text) for u in open_corpus(tmp_path)] == [
        ("audio/dev.wav", "validation", None),
        ("audio/test.wav", "test", None),
    ]


def test_segments_are_parts_of_recordings(tmp_path: Path, write_clip: WriteClip) -> None:
    write_clip("long.wav", 3.0)
    (tmp_path / "wav.scp").write_text("rec long.wav\n")
    (tmp_path / "segments").write_text("u1 rec 0.5 1.5\nu2 rec 2.0 -1\n")
    (tmp_path / "text").write_text("u1 one\nu2 two\n")
    corpus = open_corpus(tmp_path)
    assert [(u.text, load_waveform(u, 16_000).size) for u in corpus] == [
        ("one", 16_000),
        ("two", 16_000),
    ]


def test_names_that_no_file_can_have_are_left_out(tmp_path: Path, write_clip: WriteClip) -> None:
    write_clip("a.wav")
    (tmp_path / "wav.scp").write_text(f"one a.wav\ntwo {'x' * 300}\n")
    corpus = open_corpus(tmp_path)
    assert [u.identifier for u in corpus] == ["a.wav"]
    assert [each.endswith("File name too long") for each in corpus.skipped] == [True]


def test_commands_are_never_run(tmp_path: Path, write_clip: WriteClip) -> None:
    write_clip("a.wav")
    made = tmp_path / "made-by-a-command"
    (tmp_path / "wav.scp").write_text(
        f"u1 a.wav\nu2 touch {made} |\nu3 raw.ark:1234\nu4 gone.wav\n"
    )
    corpus = open_corpus(tmp_path)
    assert [u.identifier for u in corpus] == ["a.wav"]
    assert not made.exists()
    command, archive, gone = corpus.skipped
    assert command.startswith("u2: its recording is the output of a command")
    assert archive == "u3: lies in an archive of Kaldi"
    assert gone.endswith("gone.wav: no such file")


def test_paths_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "wav.scp").write_text("u1 ../secret.wav\n")
    with pytest.raises(CorpusError, match=r"wav\.scp, u1: path .* leaves the corpus"):
        open_corpus(tmp_path)


@pytest.mark.parametrize("line", ["u1 rec 0.5", "u1 rec a b", "u1 rec nan 2", "u1 rec 3 2"])
def test_malformed_segments_are_named(tmp_path: Path, write_clip: WriteClip, line: str) -> None:
    write_clip("a.wav")
    (tmp_path / "wav.scp").write_text("rec a.wav\n")
    (tmp_path / "segments").write_text(f"{line}\n")
    with pytest.raises(CorpusError, match="segments, line 1: "):
        open_corpus(tmp_path)
