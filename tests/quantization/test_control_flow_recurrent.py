"""An embedding and an LSTM that see one token at a time, alone and within a branch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import save_model
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.runtime.session import create_session

WORDS, HIDDEN = 64, 32
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
LAYERS = ["embedding", "rnn.W", "rnn.R", "output"]


def predictor(within: str = "") -> onnx.ModelProto:
    """A transducer's predictor: a token and states go in, logits and new states come out.

    Args:
        within: ``If``: embedding and LSTM lie in one of its branches; ``nested``: in an ``If``
            within that branch; empty: in the main graph.
    """
    random = np.random.default_rng(0)
    shapes = {
        "table": (WORDS, HIDDEN),
        "w": (1, 4 * HIDDEN, HIDDEN),
        "r": (1, 4 * HIDDEN, HIDDEN),
        "b": (1, 8 * HIDDEN),
        "out.w": (HIDDEN, WORDS),
    }
    constants = {
        name: (random.standard_normal(shape) / np.sqrt(HIDDEN)).astype(np.float32)
        for name, shape in shapes.items()
    }
    tokens = helper.make_tensor_value_info("tokens", INT64, [1, 1])
    states = [helper.make_tensor_value_info(name, FLOAT, [1, 1, HIDDEN]) for name in ("h", "c")]
    core = [
        helper.make_node("Gather", ["table", "tokens"], ["embedded"], "embedding"),
        helper.make_node(
            "LSTM", ["embedded", "w", "r", "b", "", "h", "c"], ["", "h1", "c1"], "rnn",
            hidden_size=HIDDEN,
        ),
    ]  # fmt: skip
    inputs = [tokens, *states]
    made = [helper.make_tensor_value_info(name, FLOAT, None) for name in ("h1", "c1")]
    for level in range({"": 0, "If": 1, "nested": 2}[within]):
        kept = [
            helper.make_node("Identity", ["h"], [f"h.kept{level}"]),
            helper.make_node("Identity", ["c"], [f"c.kept{level}"]),
        ]
        other = [helper.make_tensor_value_info(f"{n}.kept{level}", FLOAT, None) for n in ("h", "c")]
        # What a branch makes has names of its own.
        results = [f"{name}.chosen{level}" for name in ("h", "c")]
        core = [
            helper.make_node(
                "If", ["speaking"], results, f"if{level}",
                then_branch=helper.make_graph(core, f"then{level}", [], made),
                else_branch=helper.make_graph(kept, f"else{level}", [], other),
            )
        ]  # fmt: skip
        made = [helper.make_tensor_value_info(name, FLOAT, None) for name in results]
    if within:
        inputs.append(helper.make_tensor_value_info("speaking", BOOL, []))
    last = made[0].name
    core.append(helper.make_node("MatMul", [last, "out.w"], ["logits"], "output"))
    graph = helper.make_graph(
        core,
        "predictor",
        inputs,
        [helper.make_tensor_value_info("logits", FLOAT, [1, 1, WORDS]), *made],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def clips(within: str) -> list[tuple[str, dict[str, np.ndarray]]]:
    random = np.random.default_rng(1)
    found = []
    for number in range(8):
        feed = {
            "tokens": random.integers(0, WORDS, (1, 1)),
            "h": np.tanh(random.standard_normal((1, 1, HIDDEN))).astype(np.float32),
            "c": random.standard_normal((1, 1, HIDDEN)).astype(np.float32),
        }
        if within:
            feed["speaking"] = np.array(True)
        found.append((f"clip{number}", feed))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("within", ["", "If", "nested"])
@pytest.mark.parametrize(
    ("compute", "codec", "kernel"),
    [
        ("float32", "bitplane:6", "LSTM"),
        ("dynamic", "int8", "DynamicQuantizeLSTM"),
        ("dynamic", "grouped:6", "DynamicQuantizeLSTM"),
    ],
)
def test_predictor_is_quantized_wherever_it_lies(
    within, compute, codec, kernel, tmp_path: Path
) -> None:
    source, feeds = tmp_path / "float32.onnx", clips(within)
    save_model(predictor(within), source)
    settings = QuantizeSettings(compute=compute, codec=CodecChoice.parse(codec))
    result = quantize_model(source, tmp_path / "q.onnx", settings, feeds)
    assert [row.name for row in result.layers] == LAYERS
    assert {row.codec for row in result.layers} == {settings.codec.name}
    kernels = {row.name: row.kernel for row in result.lint.rows}
    assert kernels["rnn.W"] == kernels["rnn.R"] == kernel
    assert result.lint.folded
    assert not result.lint.problems
    predicted = with_sizes(source, settings).predicted_bytes
    assert predicted is not None
    # The number of digits of the size is the size's affair.
    assert abs(result.size_bytes - predicted) <= 1
    one, other = create_session(result.path), create_session(source)
    for _, feed in feeds:
        both = one.run(None, feed)[0], other.run(None, feed)[0]
        np.testing.assert_allclose(*both, atol=0.1)
