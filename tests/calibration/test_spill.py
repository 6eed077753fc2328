"""Arrays that share some memory come back as they were, and leave nothing behind."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import numpy as np
import pytest

from quantkit.calibration.spill import Spill, SpilledArray
from quantkit.errors import OutputError


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def files(folder: Path) -> int:
    return len(list(folder.rglob("*.npy")))


def test_last_value_comes_back(temporary: Path) -> None:
    spill = Spill(0)
    one, other = SpilledArray(spill), SpilledArray(spill)
    assert one.read() is None
    one.put(np.arange(6, dtype=np.float32).reshape(2, 3))
    other.put(np.zeros(4))
    one.put(np.ones((2, 2), np.float32))
    np.testing.assert_array_equal(one.read(), np.ones((2, 2), np.float32))
    np.testing.assert_array_equal(other.read(), np.zeros(4))
    assert files(temporary) == 2


def test_what_was_taken_is_changed_and_given_back(temporary: Path) -> None:
    spill = Spill(0)
    sums, other = SpilledArray(spill), SpilledArray(spill)
    for step in range(3):
        values = sums.take()
        sums.put(np.full(3, 1.0) if values is None else values + 1.0)
        other.put(np.full(2, step))
    np.testing.assert_array_equal(sums.read(), np.full(3, 3.0))


def test_only_those_used_longest_ago_lie_on_disk(temporary: Path) -> None:
    spill = Spill(100)
    arrays = [SpilledArray(spill) for _ in range(4)]
    for number, array in enumerate(arrays[:3]):
        array.put(np.full(5, number, np.float64))
    # 40 bytes each: the first one had to go.
    assert files(temporary) == 1
    arrays[1].put(np.full(5, 9.0))
    arrays[3].put(np.full(5, 3.0))
    assert files(temporary) == 2
    found = [array.read()[0] for array in arrays]
    assert found == [0, 9, 2, 3]


def test_with_enough_memory_nothing_is_written(temporary: Path) -> None:
    spill = Spill(1000)
    arrays = [SpilledArray(spill) for _ in range(4)]
    for array in arrays:
        array.put(np.zeros(5))
    assert not list(temporary.iterdir())


@pytest.mark.slow
def test_folder_goes_with_the_last_array(temporary: Path) -> None:
    spill = Spill(0)
    array, later = SpilledArray(spill), SpilledArray(spill)
    array.put(np.ones(3))
    later.put(np.ones(3))
    assert files(temporary) == 1
    del spill, later
    gc.collect()
    assert array.read() is not None
    del array
    gc.collect()
    assert not list(temporary.iterdir())


def test_no_room_is_said_in_words(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    spill = Spill(0)
    SpilledArray(spill).put(np.ones(3))
    with pytest.raises(OutputError, match=r"cannot write temporary files in .*missing"):
        SpilledArray(spill).put(np.ones(3))
