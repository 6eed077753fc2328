"""Evenly spaced levels in ONNX's types of 4 and 2 bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from quantkit.codecs.base import Weight, stored_bytes
from quantkit.codecs.native import Native
from quantkit.errors import InputError


@pytest.mark.slow
@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    bits=st.sampled_from([2, 4]),
    grid=st.sampled_from(["mid-tread", "midrise"]),
    data=st.data(),
)
def test_the_decoder_gives_the_levels(shape, bits, grid, data, decoded):
    axis = data.draw(st.integers(0, len(shape) - 1))
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    weight = Weight(values, axis)
    codec = Native(bits, grid)
    encoded = codec.encode(weight)
    assert tuple(stored.part for stored in encoded.packed) == codec.parts(shape, axis)
    found = decoded(codec, weight, encoded)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, encoded.levels)


@pytest.mark.parametrize(("bits", "opset"), [(4, 21), (2, 25)])
def test_the_stored_tensor_is_what_onnx_reads(bits, opset):
    values = np.random.default_rng(0).standard_normal((3, 7)).astype(np.float32)
    codec = Native(bits)
    encoded = codec.encode(Weight(values, 0))
    (stored,) = encoded.packed
    assert codec.opset == opset
    assert stored.part.data_type == {4: TensorProto.INT4, 2: TensorProto.INT2}[bits]
    read = numpy_helper.to_array(stored.to_tensor("w")).astype(np.int8)
    np.testing.assert_array_equal(read, encoded.levels)


def test_it_rounds_up_to_whole_bytes():
    assert stored_bytes(Native(4), (3, 7), 0) == 11
    assert stored_bytes(Native(2), (3, 7), 0) == 6


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_other_widths_are_refused(bits):
    with pytest.raises(InputError, match="choose 4 or 2"):
        Native(bits)


def test_an_unknown_grid_is_refused():
    with pytest.raises(InputError, match="no odd grid"):
        Native(4, "odd")
