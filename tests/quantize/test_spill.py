"""Arrays on disk come back as they were, and leave nothing behind."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import numpy as np
import pytest

from quantkit.errors import OutputError
from quantkit.quantize.spill import SpilledArray, SpillFolder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_last_value_comes_back(temporary: Path) -> None:
    folder = SpillFolder()
    one, other = SpilledArray(folder), SpilledArray(folder)
    assert one.get() is None
    one.put(np.arange(6, dtype=np.float32).reshape(2, 3))
    other.put(np.zeros(4))
    one.put(np.ones((2, 2), np.float32))
    np.testing.assert_array_equal(one.get(), np.ones((2, 2), np.float32))
    np.testing.assert_array_equal(other.get(), np.zeros(4))
    assert len(list(temporary.rglob("*.npy"))) == 2


def test_folder_goes_with_the_last_array(temporary: Path) -> None:
    folder = SpillFolder()
    array = SpilledArray(folder)
    assert not list(temporary.iterdir())
    array.put(np.ones(3))
    del folder
    gc.collect()
    assert array.get() is not None
    del array
    gc.collect()
    assert not list(temporary.iterdir())


def test_no_room_is_said_in_words(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OutputError, match=r"cannot keep second moments in .*missing"):
        SpilledArray(SpillFolder()).put(np.ones(3))
