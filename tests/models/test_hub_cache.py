"""Folders of the hub's cache: a commit's files are links."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from quantkit.errors import InputError
from quantkit.models.hub_cache import cached_name, snapshot_in


def cached(root: Path, *commits: str, main: str = "") -> Path:
    folder = root / "models--openai--whisper-tiny"
    for commit in commits:
        (folder / "snapshots" / commit).mkdir(parents=True)
    if main:
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(main)
    return folder


def test_main_names_the_snapshot(tmp_path: Path) -> None:
    folder = cached(tmp_path, "aaa", "bbb", main="bbb\n")
    found = snapshot_in(folder)
    assert found == folder / "snapshots" / "bbb"
    assert cached_name(found) == "whisper-tiny"


def test_a_single_snapshot_needs_no_name(tmp_path: Path) -> None:
    folder = cached(tmp_path, "aaa")
    assert snapshot_in(folder).name == "aaa"
    shutil.rmtree(folder / "snapshots" / "aaa")
    with pytest.raises(InputError, match="was not downloaded"):
        snapshot_in(folder)


def test_of_several_snapshots_one_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"2 snapshots, and refs/main names none"):
        snapshot_in(cached(tmp_path, "aaa", "bbb", main="../../elsewhere"))


def test_other_folders_are_themselves(tmp_path: Path) -> None:
    (tmp_path / "snapshots" / "aaa").mkdir(parents=True)
    assert snapshot_in(tmp_path) == tmp_path
    assert cached_name(tmp_path / "snapshots" / "aaa") == ""
