"""What does not fit into memory comes back from disk as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from quantkit.calibration.clip_store import ClipStore
from quantkit.errors import OutputError
from quantkit.graph.partition import ValueType

RANDOM = np.random.default_rng(0)


def clips() -> list[dict[str, np.ndarray]]:
    return [
        {
            "a": RANDOM.standard_normal((1, n, 4)).astype(np.float32),
            "b": np.arange(n),
            "c": np.array(n > 5),
        }
        for n in (9, 3, 20)
    ]


@pytest.mark.parametrize("limit", [0, 200, 10_000])
def test_values_come_back_whether_or_not_they_fit(limit: int, tmp_path: Path) -> None:
    store = ClipStore(tmp_path, limit)
    wanted = clips()
    for clip in wanted:
        store.append(clip)
    assert len(store) == 3
    assert store.spilled == {0: 9, 200: 4, 10_000: 0}[limit]
    assert bool(list(tmp_path.iterdir())) == (limit < 10_000)
    for index, clip in enumerate(wanted):
        for name, values in store[index].items():
            np.testing.assert_array_equal(values, clip[name])
            assert values.dtype == clip[name].dtype
    store.close()
    assert not list(tmp_path.iterdir())


def test_types_say_which_sizes_vary(tmp_path: Path) -> None:
    store = ClipStore(tmp_path, 10_000)
    for clip in clips():
        store.append(clip)
    assert store.types == {
        "a": ValueType(TensorProto.FLOAT, (1, None, 4)),
        "b": ValueType(TensorProto.INT64, (None,)),
        "c": ValueType(TensorProto.BOOL, ()),
    }
    store.append({"a": np.zeros((2, 2), np.float32)})
    assert store.types["a"] == ValueType(TensorProto.FLOAT, None)


def test_what_is_taken_makes_room(tmp_path: Path) -> None:
    store = ClipStore(tmp_path, 400)
    values = {"a": np.ones(90, np.float32)}
    store.append(values)
    store.append(values)
    assert store.spilled == 1
    store.forget(0)
    store.append(values)
    assert store.spilled == 1
    store.forget(1)
    assert not list(tmp_path.rglob("*.npy"))


def test_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot keep activations in .*TMPDIR"):
        ClipStore(tmp_path / "missing", 0).append({"a": np.ones(3)})
