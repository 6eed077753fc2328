"""A folder with ``manifest.tsv``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quantkit.audio.corpora import load_manifest
from quantkit.errors import CorpusError

HEADER = "path\tsplit\tspeaker\tgender\tlanguage\tseconds\ttext\n"


@pytest.fixture
def folder(tmp_path: Path, write_clip: Callable[..., Path]) -> Path:
    write_clip("en/a.wav")
    write_clip("en/b.flac")
    return tmp_path


def write(folder: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    (folder / "manifest.tsv").write_bytes(raw)
    return folder


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(CorpusError) as caught:
        load_manifest(write(folder, content))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_column_is_read(folder: Path) -> None:
    rows = "en/a.wav\ttrain\tann\tf\ten\t0.25\tit's on\nen/b.flac\ttest\tbob\tm\ten\t0.5\tStraße\n"
    first, second = load_manifest(write(folder, HEADER + rows))
    assert first.path == folder / "en/a.wav"
    assert (first.split, first.speaker, first.gender, first.language) == ("train", "ann", "f", "en")
    assert (first.seconds, first.text, first.identifier) == (0.25, "it's on", "en/a.wav")
    assert second.text == "Straße"


def test_columns_may_come_in_any_order_and_all_but_two_may_be_absent(folder: Path) -> None:
    (only,) = load_manifest(write(folder, "text\tnote\tpath\nyes\tx\ten/a.wav\n"))
    assert (only.text, only.seconds, only.speaker) == ("yes", 0.0, "")


def test_columns_by_their_other_names(folder: Path) -> None:
    header = "file\tsentence\tsex\tduration\tlang\tclient_id\n"
    (only,) = load_manifest(write(folder, f"{header}en/a.wav\tyes\tfemale\t0.25\ten\tann\n"))
    assert (only.identifier, only.text, only.gender, only.seconds) == ("en/a.wav", "yes", "f", 0.25)
    assert (only.language, only.speaker) == ("en", "ann")


def test_an_empty_text_means_no_transcript(folder: Path) -> None:
    corpus = load_manifest(write(folder, "path\ttext\nen/a.wav\t\nen/b.flac\tno\n"))
    assert [u.text for u in corpus] == [None, "no"]
    assert not corpus.labelled


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_files_of_other_editors_read_the_same(folder: Path, prefix: bytes, newline: bytes) -> None:
    content = prefix + newline.join([b"path\ttext", b"en/a.wav\tyes", b"", b"en/b.flac\tno"])
    assert [u.text for u in load_manifest(write(folder, content))] == ["yes", "no"]


def test_accents_compare_equal_however_they_were_typed(folder: Path) -> None:
    composed, decomposed = "café", "cafe\u0301"
    corpus = load_manifest(
        write(folder, f"path\ttext\nen/a.wav\t{composed}\nen/b.flac\t{decomposed}\n")
    )
    assert [u.text for u in corpus] == [composed, composed]


def test_line_separators_inside_a_text_do_not_end_the_row(folder: Path) -> None:
    (only,) = load_manifest(write(folder, "path\ttext\nen/a.wav\tone\u2028two\x0bthree\n"))
    assert only.text == "one\u2028two\x0bthree"


def test_missing_empty_and_endless_clips_are_skipped_and_named(folder: Path) -> None:
    (folder / "empty.wav").touch()
    rows = "gone.wav\t1\tx\nempty.wav\t1\tx\nen/a.wav\t99999\tx\nen/b.flac\t0.25\tx\n"
    corpus = load_manifest(write(folder, "path\tseconds\ttext\n" + rows))
    assert [u.identifier for u in corpus] == ["en/b.flac"]
    gone, empty, endless = corpus.skipped
    assert gone == f"{folder / 'gone.wav'}: no such file"
    assert empty == f"{folder / 'empty.wav'}: is empty"
    assert "lasts 99999 s; the limit is 3600 s" in endless


def test_nothing_usable_is_an_error(folder: Path) -> None:
    message = refusal(folder, "path\ttext\ngone.wav\tx\n")
    assert "no usable clip, 1 skipped: " in message
    assert "gone.wav: no such file" in message
    assert "there is no clip" in refusal(folder, "path\ttext\n")


class TestRefused:
    def test_no_manifest(self, tmp_path: Path) -> None:
        with pytest.raises(CorpusError, match=r"cannot read .*manifest\.tsv: No such file"):
            load_manifest(tmp_path)

    def test_empty_manifest(self, folder: Path) -> None:
        assert "manifest.tsv is empty" in refusal(folder, "")

    @pytest.mark.parametrize("header", ["path,split,text", "name\ttext", "path\tsplit\tspeaker"])
    def test_missing_columns(self, folder: Path, header: str) -> None:
        message = refusal(folder, header + "\n")
        assert "line 1: no column" in message
        assert "path split speaker gender language seconds text" in message

    def test_a_column_twice(self, folder: Path) -> None:
        assert "'text' is named twice" in refusal(folder, "path\ttext\ttext\n")

    def test_too_few_fields(self, folder: Path) -> None:
        message = refusal(folder, "path\tsplit\ttext\nen/a.wav\tt\tx\nen/b.flac\tx\n")
        assert "line 3: 2 fields, but the header names 3 columns" in message

    def test_too_many_fields(self, folder: Path) -> None:
        assert "line 2: 3 fields" in refusal(folder, "path\ttext\nen/a.wav\tx\ty\n")

    def test_the_same_clip_twice(self, folder: Path) -> None:
        message = refusal(folder, "path\ttext\nen/a.wav\tx\nen/./a.wav\ty\n")
        assert "line 3: 'en/./a.wav' is already named in line 2" in message

    @pytest.mark.parametrize("value", ["1,5", "long", "-1", "nan", "inf", "1e999"])
    def test_bad_seconds(self, folder: Path, value: str) -> None:
        message = refusal(folder, f"path\tseconds\ttext\nen/a.wav\t{value}\tx\n")
        assert f"line 2: seconds is {value!r}; a number like 2.35 is needed" in message

    def test_bad_gender(self, folder: Path) -> None:
        message = refusal(folder, "path\tgender\ttext\nen/a.wav\tx\ty\n")
        assert "line 2: gender is 'x'; m, f or nothing is needed" in message

    def test_not_utf8(self, folder: Path) -> None:
        message = refusal(folder, b"path\ttext\nen/a.wav\tyes\nen/b.flac\tStra\xdfe\n")
        assert "line 3: not UTF-8" in message

    def test_utf16(self, folder: Path) -> None:
        assert "line 1: not UTF-8" in refusal(folder, "path\ttext\n".encode("utf-16"))

    def test_nul_bytes(self, folder: Path) -> None:
        assert "line 2: holds a NUL byte" in refusal(folder, b"path\ttext\nen/\0.wav\tx\n")

    @pytest.mark.parametrize(
        "path",
        ["../a.wav", "en/../../a.wav", "/etc/hostname", "..", "C:\\a.wav", "..\\a.wav"],
    )
    def test_paths_out_of_the_folder(self, folder: Path, path: str) -> None:
        message = refusal(folder, f"path\ttext\n{path}\tx\n")
        assert "line 2: path" in message
        assert "leaves the corpus" in message

    def test_an_empty_path(self, folder: Path) -> None:
        assert "line 2: the path is empty" in refusal(folder, "path\ttext\n\tx\n")

    def test_links_out_of_the_folder(self, tmp_path: Path, write_clip: Callable[..., Path]) -> None:
        outside = write_clip("outside.wav")
        inner = tmp_path / "inner"
        inner.mkdir()
        (inner / "clip.wav").symlink_to(outside)
        (inner / "up").symlink_to(tmp_path)
        assert "is a link that leaves" in refusal(inner, "path\ttext\nclip.wav\tx\n")
        assert "is a link that leaves" in refusal(inner, "path\ttext\nup/outside.wav\tx\n")


def test_links_within_the_folder_and_to_the_folder_are_fine(folder: Path, tmp_path: Path) -> None:
    (folder / "same.wav").symlink_to("en/a.wav")
    write(folder, "path\ttext\nsame.wav\tx\n")
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    (only,) = load_manifest(link)
    assert only.path == link / "same.wav"


def test_a_loop_of_links_is_skipped(folder: Path) -> None:
    (folder / "loop.wav").symlink_to("loop.wav")
    corpus = load_manifest(write(folder, "path\ttext\nloop.wav\tx\nen/a.wav\tx\n"))
    assert corpus.skipped == (f"{folder / 'loop.wav'}: no such file",)
