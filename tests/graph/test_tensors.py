"""Elements in memory and elements in a file are read alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import ModelError
from quantkit.graph.tensors import (
    data_bytes,
    embed,
    leave_in_file,
    raw_bytes,
    raw_size,
    set_raw_bytes,
    tensor_array,
)

VALUES = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def left(tmp_path: Path) -> TensorProto:
    """A tensor whose elements lie in a file, 5 bytes from its beginning."""
    path = tmp_path / "weights"
    path.write_bytes(b"first" + VALUES.tobytes() + b"last")
    tensor = numpy_helper.from_array(VALUES, "weight")
    leave_in_file(tensor, path, 5, VALUES.nbytes)
    return tensor


def test_elements_in_a_file(left: TensorProto) -> None:
    assert not left.raw_data
    np.testing.assert_array_equal(tensor_array(left), VALUES)
    assert raw_bytes(left) == VALUES.tobytes()
    assert raw_size(left) == data_bytes(left.data_type, left.dims) == VALUES.nbytes


def test_elements_in_memory() -> None:
    tensor = numpy_helper.from_array(VALUES, "weight")
    np.testing.assert_array_equal(tensor_array(tensor), VALUES)
    assert raw_bytes(tensor) == VALUES.tobytes()
    assert raw_size(tensor) == VALUES.nbytes
    listed = helper.make_tensor("listed", TensorProto.FLOAT, [2], [1.0, 2.0])
    assert raw_size(listed) == 0
    np.testing.assert_array_equal(tensor_array(listed), [1, 2])


def test_they_can_be_brought_back(left: TensorProto) -> None:
    embed([left])
    assert left == numpy_helper.from_array(VALUES, "weight")


def test_new_ones_take_their_place(left: TensorProto) -> None:
    set_raw_bytes(left, (2 * VALUES).tobytes())
    np.testing.assert_array_equal(tensor_array(left), 2 * VALUES)


def test_a_file_that_went_away_is_named(left: TensorProto, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"short")
    with pytest.raises(ModelError, match=r"weights became shorter"):
        tensor_array(left)
    path.unlink()
    with pytest.raises(ModelError, match=r"cannot read weights of .*No such file"):
        raw_bytes(left)
