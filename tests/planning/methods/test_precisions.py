"""What a number of bits means for each layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import InputError
from quantkit.graph.artifact import save_model
from quantkit.planning.methods.precisions import Precisions, codec_widths
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings
from quantkit.quantization.choices.settings import LayerRule
from tests.planning.methods.conftest import NAMES, SETTINGS

MIXED = dict(zip(NAMES, (32, 31, 9, 8, 7, 1), strict=True))


def test_bits_become_the_codec_that_holds_them(source) -> None:
    plan = Precisions(source, SETTINGS).plan(MIXED, "test")
    assert [(row.codec, row.bits, row.compute) for row in plan.layers] == [
        ("float32", 32, "float32"),
        ("int8", 8, "static"),
        ("int8", 8, "static"),
        ("int8", 8, "static"),
        ("bitplane", 7, "static"),
        ("bitplane", 1, "static"),
    ]
    assert plan.method == "test"


def test_bits_that_a_codec_lacks_become_its_next_larger_ones(source) -> None:
    native = Precisions(source, SETTINGS, "native")
    assert native.lowest == 2
    assert [str(native.codec(bits)) for bits in (1, 2, 3, 5)] == [
        "native:2",
        "native:2",
        "native:4",
        "int8",
    ]


def test_activations_have_the_bits_of_weights_as_published(source) -> None:
    plan = Precisions(source, SETTINGS, activation_bits="weights").plan(MIXED, "test")
    assert [row.activation_bits for row in plan.layers] == [32, 8, 8, 8, 7, 1]
    plan = Precisions(source, SETTINGS, activation_bits=6).plan(MIXED, "test")
    assert [row.activation_bits for row in plan.layers] == [32, 6, 6, 6, 6, 6]
    plan = Precisions(source, QuantizeSettings(activation_bits=5)).plan(MIXED, "test")
    assert [row.activation_bits for row in plan.layers] == [32, 5, 5, 5, 5, 5]


def test_layers_that_the_settings_speak_about_are_not_decided_about(source) -> None:
    rules = (LayerRule.parse("2=grouped:3"), LayerRule.parse("3=@dynamic"))
    settings = QuantizeSettings(exclude=("1",), rules=rules)
    precisions = Precisions(source, settings)
    assert precisions.names == NAMES[2:]
    plan = precisions.plan(dict.fromkeys(precisions.names, 4), "test")
    assert [(row.codec, row.compute) for row in plan.layers] == [
        ("float32", "float32"),
        ("grouped", "static"),
        ("bitplane", "dynamic"),
        *[("bitplane", "static")] * 3,
    ]


def test_nothing_to_decide(source) -> None:
    with pytest.raises(InputError, match="leave no layer to assign bits to; exclude fewer"):
        Precisions(source, QuantizeSettings(exclude=("Conv",)))


@pytest.mark.parametrize("compute", ["static", "dynamic", "float32"])
@pytest.mark.parametrize("bits", [MIXED, dict.fromkeys(NAMES, 3)])
def test_estimate_is_close_to_the_file(compute, bits, source) -> None:
    precisions = Precisions(source, QuantizeSettings(compute=compute))
    size = with_sizes(source, precisions.plan(bits, "test"), 10**6).predicted_bytes
    assert abs(precisions.estimate(bits) - size) < 0.02 * size


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        ("bitplane:4", "give its name only"),
        ("zip", "unknown codec 'zip'"),
        ("float16", "always has 16 bits"),
        ("ternary", "always has 1.6 bits"),
    ],
)
def test_codecs_without_widths_to_choose_from(codec, message) -> None:
    with pytest.raises(InputError, match=message):
        codec_widths(codec)


def test_layers_that_share_a_weight_are_decided_about_together(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    constants = {
        "table": random.standard_normal((64, 48)).astype(np.float32),
        "w": random.standard_normal((48, 48)).astype(np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "tokens"], ["embedded"], "embedding"),
            helper.make_node("MatMul", ["embedded", "w"], ["hidden"], "hidden"),
            helper.make_node("Transpose", ["table"], ["transposed"], perm=[1, 0]),
            helper.make_node("MatMul", ["hidden", "transposed"], ["logits"], "output"),
        ],
        "tied",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "length", 64])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    save_model(model, tmp_path / "tied.onnx")
    precisions = Precisions(tmp_path / "tied.onnx", QuantizeSettings(compute="dynamic"))
    assert precisions.names == ("embedding", "hidden")
    assert precisions.weights == {"embedding": 64 * 48, "hidden": 48 * 48}
    plan = precisions.plan({"embedding": 3, "hidden": 5}, "test")
    assert [(row.name, row.bits) for row in plan.layers] == [
        ("embedding", 3),
        ("hidden", 5),
        ("output", 3),
    ]
    with_sizes(precisions.source, plan)
