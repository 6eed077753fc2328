"""What is stored is found again, and what is damaged or half counts as missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantkit.fleets.jobs import Change, JobRecord
from quantkit.fleets.storage.local import LocalStorage
from quantkit.fleets.store import ResultStore

JOB = "0123456789abcdef" * 2


def stored(folder: Path) -> tuple[ResultStore, JobRecord]:
    store = ResultStore(LocalStorage(folder / "out"))
    path = folder / store.file_name(JOB)
    path.write_bytes(b"weights")
    files = store.put_files(JOB, [path])
    change = Change("words", 1, 10, 0.05, 0.15)
    record = JobRecord(
        JOB, "m", "a", "s", 100, files, 3, 4.5, "frame", 0.25, None, None, change, ("few",), 1.5
    )
    store.put_record(record)
    return store, record


def test_a_record_and_its_file_are_found_again(tmp_path: Path) -> None:
    store, record = stored(tmp_path)
    assert store.intact(JOB) == record
    assert record.size_bytes == len(b"weights")
    assert record.change is not None
    assert record.change.share == 0.1
    assert store.intact("f" * 32) is None


def test_a_file_without_its_record_is_missing(tmp_path: Path) -> None:
    store, _ = stored(tmp_path)
    (tmp_path / "out" / "jobs" / JOB[:2] / f"{JOB}.json").unlink()
    assert store.intact(JOB) is None


@pytest.mark.parametrize("content", [b"", b"weight", b"weighty", None])
def test_a_file_that_is_not_what_its_record_says_is_missing(tmp_path: Path, content) -> None:
    store, record = stored(tmp_path)
    path = tmp_path / "out" / record.files[0].name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert store.record(JOB) == record
    assert store.intact(JOB) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"schema": 1, "record": {}}'])
def test_a_damaged_record_is_missing(tmp_path: Path, content: bytes) -> None:
    store, _ = stored(tmp_path)
    (tmp_path / "out" / "jobs" / JOB[:2] / f"{JOB}.json").write_bytes(content)
    assert store.intact(JOB) is None


def test_a_record_whose_numbers_were_changed_is_missing(tmp_path: Path) -> None:
    store, _ = stored(tmp_path)
    path = tmp_path / "out" / "jobs" / JOB[:2] / f"{JOB}.json"
    document = json.loads(path.read_text())
    document["record"]["divergence"] = 0.0
    path.write_text(json.dumps(document))
    assert store.intact(JOB) is None
