"""Files appear whole or not at all, and nothing is replaced that should not be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quantkit.disk.files import atomic_path, refuse_overwriting, write_text
from quantkit.errors import InputError, OutputError


def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["a.txt"]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    target = tmp_path / "store" / "real.txt"
    write_text(target, "old")
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_link_to_nothing_gets_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "later" / "real.txt")
    write_text(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "later" / "real.txt").read_text() == "new"


def test_a_link_in_circles_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OutputError, match="cannot write"):
        write_text(tmp_path / "a", "new")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a folder"):
        write_text(tmp_path, "new")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="it is a pipe or device"):
        write_text(pipe, "new")
    assert pipe.is_fifo()


@pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="needs /dev/null")
def test_a_device_behind_a_link_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    with pytest.raises(OutputError, match="it is a pipe or device"):
        write_text(link, "new")


def test_content_is_on_the_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    there: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda handle: there.append(path.exists()))
    write_text(path, "new")
    assert there == [False]


def test_a_result_may_not_replace_its_source(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_text("weights")
    link = tmp_path / "link.onnx"
    link.symlink_to(source)
    for destination in (source, link, tmp_path / "." / "model.onnx"):
        with pytest.raises(InputError, match="itself read by this command"):
            refuse_overwriting(destination, [tmp_path / "other", source])
    refuse_overwriting(tmp_path / "new.onnx", [source])


def test_text_is_utf_8_whatever_it_holds(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "é \udcff\n")
    assert (tmp_path / "a.txt").read_bytes() == "é \\udcff\n".encode()


def test_folders_that_were_made_for_nothing_go_again(tmp_path: Path) -> None:
    def fail(place: Path) -> None:
        with atomic_path(place) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    (tmp_path / "there").mkdir()
    for name in ("new/deep/a.txt", "there/deep/a.txt"):
        with pytest.raises(RuntimeError):
            fail(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
