"""Finding out which layout a folder has, and the plain one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quantkit.audio.corpora import load_plain, open_corpus
from quantkit.errors import CorpusError


class TestPlain:
    def test_every_audio_file_below_the_folder_in_order(
        self, tmp_path: Path, write_clip: Callable[..., Path]
    ) -> None:
        for name in ("b.WAV", "a/z.flac", "a/deep/er/y.ogg", "c.mp3"):
            write_clip(name, 0.5)
        (tmp_path / "notes.txt").write_text("not a clip")
        write_clip(".hidden.wav")
        write_clip(".trash/old.wav")
        corpus = open_corpus(tmp_path)
        assert [u.identifier for u in corpus] == ["b.WAV", "c.mp3", "a/z.flac", "a/deep/er/y.ogg"]
        assert {u.text for u in corpus} == {None}
        assert not corpus.labelled
        assert all(u.seconds == pytest.approx(0.5) for u in corpus)
        assert corpus.skipped == ()

    def test_broken_empty_and_endless_files_are_skipped_and_named(
        self, tmp_path: Path, write_clip: Callable[..., Path]
    ) -> None:
        write_clip("good.wav")
        write_clip("long.wav", 3.0)
        (tmp_path / "broken.flac").write_text("no sound")
        (tmp_path / "empty.mp3").touch()
        (tmp_path / "gone.wav").symlink_to("nowhere")
        corpus = load_plain(tmp_path, max_seconds=2.0)
        assert [u.identifier for u in corpus] == ["good.wav"]
        skipped = {entry.partition(":")[0].partition(" ")[0] for entry in corpus.skipped}
        assert {Path(path).name for path in skipped} == {
            "long.wav",
            "broken.flac",
            "empty.mp3",
            "gone.wav",
        }

    def test_links_out_of_the_folder_are_skipped(
        self, tmp_path: Path, write_clip: Callable[..., Path]
    ) -> None:
        write_clip("inner/good.wav")
        (tmp_path / "inner/link.wav").symlink_to(write_clip("outside.wav"))
        corpus = open_corpus(tmp_path / "inner")
        assert [u.identifier for u in corpus] == ["good.wav"]
        assert "link.wav: is a link that leaves the corpus" in corpus.skipped[0]

    def test_no_audio_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("x")
        with pytest.raises(CorpusError, match="there is no clip in it"):
            open_corpus(tmp_path)

    def test_only_broken_audio_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").write_text("x")
        with pytest.raises(CorpusError, match=r"no usable clip, 1 skipped: .*a\.wav"):
            open_corpus(tmp_path)


class TestDetection:
    def test_a_manifest_decides(self, tmp_path: Path, write_clip: Callable[..., Path]) -> None:
        write_clip("yes/0a7c2a8d_nohash_0.wav")
        (tmp_path / "manifest.tsv").write_text("path\ttext\nyes/0a7c2a8d_nohash_0.wav\tja\n")
        (only,) = open_corpus(tmp_path)
        assert only.text == "ja"

    def test_two_layouts_at_once_are_refused(
        self, tmp_path: Path, write_clip: Callable[..., Path]
    ) -> None:
        write_clip("yes/0a7c2a8d_nohash_0.wav")
        np.save(tmp_path / "train.npy", np.zeros((1, 5, 40)))
        with pytest.raises(CorpusError, match="looks like speech-commands and numpy at once"):
            open_corpus(tmp_path)

    def test_a_folder_of_corpora_is_refused_and_says_which_there_are(
        self, tmp_path: Path, write_clip: Callable[..., Path]
    ) -> None:
        for name in ("digits", "german"):
            write_clip(f"{name}/a.wav")
            (tmp_path / name / "manifest.tsv").write_text("path\ttext\na.wav\tx\n")
        with pytest.raises(CorpusError, match="its folders digits, german have; open one"):
            open_corpus(tmp_path)

    def test_the_layout_can_be_said(self, tmp_path: Path, write_clip: Callable[..., Path]) -> None:
        write_clip("yes/0a7c2a8d_nohash_0.wav")
        (only,) = open_corpus(tmp_path, layout="plain")
        assert only.text is None
        with pytest.raises(CorpusError, match="unknown layout 'kaldi'; the layouts are manifest,"):
            open_corpus(tmp_path, layout="kaldi")

    def test_missing_folder_or_a_file(
        self, tmp_path: Path, write_clip: Callable[..., Path]
    ) -> None:
        with pytest.raises(CorpusError, match="nowhere does not exist"):
            open_corpus(tmp_path / "nowhere")
        with pytest.raises(CorpusError, match="is a file; name its folder"):
            open_corpus(write_clip("a.wav"))

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
    def test_a_folder_without_permission(self, tmp_path: Path) -> None:
        tmp_path.chmod(0)
        try:
            with pytest.raises(CorpusError, match="cannot list"):
                open_corpus(tmp_path)
        finally:
            tmp_path.chmod(0o700)
