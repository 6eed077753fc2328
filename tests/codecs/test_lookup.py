"""Codes in words, and the nodes that look them up."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from quantkit.codecs.base import DecodeBuilder
from quantkit.codecs.lookup import Lookup
from quantkit.errors import InputError

MOST_CHOICES = {1: 8, 2: 8, 3: 4, 4: 8, 5: 6, 6: 4}


@pytest.mark.parametrize("bits", range(1, 7))
@pytest.mark.parametrize("choices", ["none", "one bit", "most"])
@pytest.mark.parametrize("rows", [0, 1, 7, 33])
def test_every_code_finds_its_level(bits, choices, rows, run_decoder):
    choice_bits = {"none": 0, "one bit": 1, "most": MOST_CHOICES[bits]}[choices]
    lookup = Lookup(rows, 24, bits, choice_bits)
    random = np.random.default_rng(bits)
    codes = random.integers(0, 2**bits, (rows, 24), np.uint8)
    chosen = random.integers(0, lookup.tables, rows, np.uint8)
    tables = random.integers(-127, 128, (lookup.tables, 2**bits), np.int8)
    packed = lookup.pack(codes, chosen, tables)
    assert tuple(stored.part for stored in packed) == lookup.parts()
    assert all(len(stored.raw) == stored.part.bytes for stored in packed)
    found = run_decoder(packed, lookup.unpack)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found.reshape(rows, 24), tables[chosen[:, None], codes])


@pytest.mark.parametrize("bits", range(1, 7))
@pytest.mark.parametrize("rows", [0, 1, 7, 33])
def test_every_code_finds_its_level_in_the_table_of_its_row(bits, rows, run_decoder):
    lookup = Lookup(rows, 24, bits, table_per_row=True)
    random = np.random.default_rng(bits)
    codes = random.integers(0, 2**bits, (rows, 24), np.uint8)
    tables = random.integers(-127, 128, (rows, 2**bits), np.int8)
    packed = lookup.pack(codes, np.arange(rows), tables)
    assert tuple(stored.part for stored in packed) == lookup.parts()
    found = run_decoder(packed, lookup.unpack)
    np.testing.assert_array_equal(
        found.reshape(rows, 24), np.take_along_axis(tables, codes, axis=1)
    )


@pytest.mark.parametrize("bits", range(1, 7))
@pytest.mark.parametrize("choice_bits", [0, 4])
def test_nothing_is_left_to_do_once_the_model_is_loaded(bits, choice_bits, tmp_path):
    lookup = Lookup(3, 16, bits, choice_bits)
    builder = DecodeBuilder()
    names = {part.name: part.name for part in lookup.parts()}
    value = lookup.unpack(names, builder)
    tables = np.zeros((lookup.tables, 2**bits), np.int8)
    packed = lookup.pack(np.zeros((3, 16), np.uint8), np.zeros(3, np.uint8), tables)
    graph = helper.make_graph(
        [*builder.nodes, helper.make_node("Identity", [value], ["levels"])],
        "decoder",
        [],
        [helper.make_empty_tensor_value_info("levels")],
        [*(stored.to_tensor(stored.part.name) for stored in packed), *builder.constants.values()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert not onnx.load(options.optimized_model_filepath).graph.node


@pytest.mark.parametrize("bits", range(1, 7))
def test_codes_take_their_bits_and_choices_theirs(bits):
    parts = {part.name: part.bytes for part in Lookup(80, 16, bits, 4).parts()}
    assert parts["low"] + parts.get("high", 0) == 80 * 16 * bits / 8
    assert parts["choice0"] == 80 * 4 / 8
    assert parts["tables"] == 16 * 2**bits


@pytest.mark.parametrize("bits", [-1, 0, 7, 8])
def test_codes_that_no_word_holds_are_refused(bits):
    with pytest.raises(InputError, match="choose 1 to 6"):
        Lookup(1, 8, bits)


@pytest.mark.parametrize(("bits", "most"), MOST_CHOICES.items())
def test_more_tables_than_an_index_reaches_are_refused(bits, most):
    with pytest.raises(InputError, match=f"choose 0 to {most} table bits"):
        Lookup(1, 8, bits, most + 1)


def test_rows_that_would_share_a_byte_are_refused():
    with pytest.raises(InputError, match="multiple of 8"):
        Lookup(2, 12, 3)
