"""Fused operators of ONNX Runtime's own compute the same in parts, and their weights are layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quantkit.conversion.contrib import take_apart
from quantkit.graph.layers import find_layers
from tests.conversion.conftest import Runs, graph_of, worst

RANDOM = np.random.default_rng(0)
B, S, T, N, H = 2, 5, 7, 2, 4
WIDTH = N * H


def some(*shape: int) -> np.ndarray:
    return (0.4 * RANDOM.standard_normal(shape)).astype(np.float32)


def fused(
    op: str,
    inputs: Sequence[str],
    constants: Mapping[str, Any],
    free: Mapping[str, Sequence[int]],
    outputs: Sequence[str] = ("y",),
    domain: str = "com.microsoft",
    **attributes: Any,
) -> onnx.ModelProto:
    node = helper.make_node(op, list(inputs), list(outputs), "node", domain=domain, **attributes)
    types = {name: TensorProto.INT32 for name in free if name in ("mask", "ids", "counts")}
    types |= {name: TensorProto.INT64 for name in free if name == "steps"}
    return graph_of(
        [node], free, [o for o in outputs if o and o != "unread"], constants, types=types
    )


IMAGE, KERNEL = {"x": (B, 3, 9, 8)}, {"w": some(4, 3, 3, 3), "b": some(4)}
SOUND, TAPS = {"x": (B, 3, 20)}, {"w": some(4, 3, 5), "b": some(4)}
ROWS = {"x": (B, S, WIDTH)}
GAIN = {"g": some(WIDTH) + 1, "o": some(WIDTH)}
QKV = {"w": some(WIDTH, 3 * WIDTH), "b": some(3 * WIDTH)}
ANGLES = {"cos": some(9, H // 2), "sin": some(9, H // 2)}
HEADS = {"q": (B, S, WIDTH), "k": (B, T, WIDTH), "v": (B, T, WIDTH)}

CASES: dict[str, tuple[onnx.ModelProto, int]] = {
    "FusedConv": (fused("FusedConv", "xwb", TAPS, SOUND, activation="Relu", strides=[2]), 1),
    "FusedConv of images, with a sum": (
        fused(
            "FusedConv",
            "xwbz",
            KERNEL,
            IMAGE | {"z": (B, 4, 9, 8)},
            activation="Relu",
            pads=[1, 1, 1, 1],
        ),
        1,
    ),
    "FusedConv, leaky": (
        fused("FusedConv", "xw", TAPS, SOUND, activation="LeakyRelu", activation_params=[0.2]),
        1,
    ),
    "FusedConv, hard": (
        fused(
            "FusedConv",
            "xwb",
            TAPS,
            SOUND,
            activation="HardSigmoid",
            activation_params=[0.3, 0.4],
        ),
        1,
    ),
    "FusedConv, clipped": (
        fused("FusedConv", "xwb", TAPS, SOUND, activation="Clip", activation_params=[-0.1, 0.3]),
        1,
    ),
    "FusedGemm": (
        fused(
            "FusedGemm",
            "xwb",
            {"w": some(6, 8), "b": some(6)},
            {"x": (3, 8)},
            transB=1,
            activation="LeakyRelu",
            activation_alpha=0.1,
        ),
        1,
    ),
    "FusedMatMul": (fused("FusedMatMul", "xw", {"w": some(WIDTH, 3)}, ROWS), 1),
    "FusedMatMul, scaled and turned": (
        fused("FusedMatMul", "xw", {"w": some(3, WIDTH)}, ROWS, alpha=0.25, transB=1),
        1,
    ),
    "FusedMatMul of two inputs, both turned": (
        fused("FusedMatMul", "xz", {}, {"x": (B, 4, S), "z": (B, 6, 4)}, transA=1, transB=1),
        0,
    ),
    "FusedMatMul over batches": (
        fused(
            "FusedMatMul",
            "xz",
            {},
            {"x": (S, B, N, 4), "z": (4, B, N, 6)},
            transBatchA=1,
            transBatchB=1,
        ),
        0,
    ),
    "Gelu": (fused("Gelu", "x", {}, ROWS), 0),
    "BiasGelu": (fused("BiasGelu", "xo", GAIN, ROWS), 0),
    "FastGelu": (fused("FastGelu", "x", {}, ROWS), 0),
    "FastGelu with a bias": (fused("FastGelu", "xo", GAIN, ROWS), 0),
    "QuickGelu": (fused("QuickGelu", "x", {}, ROWS, alpha=1.5), 0),
    "SkipLayerNormalization": (
        fused("SkipLayerNormalization", "xsgo", GAIN, ROWS | {"s": (B, S, WIDTH)}, epsilon=1e-5),
        0,
    ),
    "SkipLayerNormalization with all": (
        fused(
            "SkipLayerNormalization",
            "xsgob",
            GAIN | {"b": some(WIDTH)},
            ROWS | {"s": (B, S, WIDTH)},
            ["y", "", "", "sum"],
        ),
        0,
    ),
    "SkipSimplifiedLayerNormalization": (
        fused(
            "SkipSimplifiedLayerNormalization",
            "xsg",
            {"g": GAIN["g"]},
            ROWS | {"s": (B, S, WIDTH)},
            ["y", "", "", "sum"],
        ),
        0,
    ),
    "SimplifiedLayerNormalization": (
        fused(
            "SimplifiedLayerNormalization", "xg", {"g": GAIN["g"]}, ROWS, domain="", epsilon=1e-5
        ),
        0,
    ),
    "EmbedLayerNormalization": (
        fused(
            "EmbedLayerNormalization",
            ["ids", "", "table", "places", "", "g", "o"],
            {"table": some(20, WIDTH), "places": some(9, WIDTH), **GAIN},
            {"ids": (B, S)},
            ["y", "unread"],
        ),
        2,
    ),
    "Attention": (fused("Attention", "xwb", QKV, ROWS, num_heads=N), 1),
    "Attention, masked and to the past": (
        fused(
            "Attention",
            ["x", "w", "b", "mask"],
            QKV,
            ROWS | {"mask": (B, S)},
            num_heads=N,
            unidirectional=1,
            scale=0.3,
        ),
        1,
    ),
    "Attention of other widths": (
        fused(
            "Attention",
            "xwb",
            {"w": some(WIDTH, 2 * WIDTH + 4), "b": some(2 * WIDTH + 4)},
            ROWS,
            num_heads=N,
            qkv_hidden_sizes=[WIDTH, WIDTH, 4],
        ),
        1,
    ),
    "Attention, each query masked": (
        fused("Attention", ["x", "w", "b", "mask"], QKV, ROWS | {"mask": (B, S, S)}, num_heads=N),
        1,
    ),
    "Attention over as many keys as each clip has": (
        fused("Attention", ["x", "w", "b", "counts"], QKV, ROWS | {"counts": (B,)}, num_heads=N),
        1,
    ),
    "Attention with states": (
        fused(
            "Attention",
            ["x", "w", "b", "", "past"],
            QKV,
            ROWS | {"past": (2, B, N, 3, H)},
            ["y", "present"],
            num_heads=N,
            unidirectional=1,
        ),
        1,
    ),
    "MultiHeadAttention": (fused("MultiHeadAttention", "qkv", {}, HEADS, num_heads=N), 0),
    "MultiHeadAttention with a bias and states": (
        fused(
            "MultiHeadAttention",
            "qkvb",
            {"b": some(3 * WIDTH)},
            HEADS,
            ["y", "keys", "values"],
            num_heads=N,
        ),
        0,
    ),
    "MultiHeadAttention with a past and a bias of scores": (
        fused(
            "MultiHeadAttention",
            ["q", "k", "v", "", "", "scores", "pk", "pv"],
            {},
            HEADS | {"scores": (B, N, S, T + 3), "pk": (B, N, 3, H), "pv": (B, N, 3, H)},
            ["y", "keys", "values"],
            num_heads=N,
        ),
        0,
    ),
    "MultiHeadAttention over keys of before": (
        fused(
            "MultiHeadAttention",
            "qkv",
            {},
            {"q": (B, S, WIDTH), "k": (B, N, T, H), "v": (B, N, T, H)},
            num_heads=N,
        ),
        0,
    ),
    "MultiHeadAttention over as many keys as each clip has": (
        fused(
            "MultiHeadAttention",
            ["q", "k", "v", "", "counts"],
            {},
            HEADS | {"counts": (B,)},
            num_heads=N,
        ),
        0,
    ),
    "RotaryEmbedding": (
        fused("RotaryEmbedding", ["x", "steps", "cos", "sin"], ANGLES, ROWS | {"steps": (B, S)}),
        2,
    ),
    "RotaryEmbedding from one step on, in pairs": (
        fused(
            "RotaryEmbedding",
            ["x", "steps", "cos", "sin"],
            ANGLES,
            ROWS | {"steps": (1,)},
            interleaved=1,
        ),
        2,
    ),
    "RotaryEmbedding of a part of each head": (
        fused(
            "RotaryEmbedding",
            ["x", "steps", "cos", "sin"],
            {name: table[:, :1] for name, table in ANGLES.items()},
            ROWS | {"steps": (1,)},
            num_heads=N,
            rotary_embedding_dim=2,
        ),
        2,
    ),
    "RotaryEmbedding by heads": (
        fused(
            "RotaryEmbedding",
            ["x", "steps", "cos", "sin"],
            ANGLES,
            {"x": (B, N, S, H), "steps": (B, S)},
        ),
        2,
    ),
    "RotaryEmbedding by heads, from one step on": (
        fused(
            "RotaryEmbedding",
            ["x", "steps", "cos", "sin"],
            ANGLES,
            {"x": (B, N, S, H), "steps": (1,)},
            interleaved=1,
        ),
        2,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_parts_compute_what_the_whole_does(case: str, run: Runs) -> None:
    model, layers = CASES[case]
    model = onnx.ModelProto.FromString(model.SerializeToString())
    feed: dict[str, np.ndarray] = {}
    for value in model.graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        feed[value.name] = some(*shape)
        if value.name in ("mask", "ids"):
            feed[value.name] = np.tril(np.ones(shape, np.int32), S - 2)
        if value.name == "counts":
            feed[value.name] = np.array([3, 5], np.int32)
        if value.name == "steps":
            feed[value.name] = np.arange(np.prod(shape)).reshape(shape) % 9 + (len(shape) == 1)
    before = run(model, **feed)
    assert take_apart(model)
    assert {entry.domain for entry in model.opset_import} == {""}
    assert len(find_layers(model)) == layers
    assert worst(before, run(model, **feed)) < 2e-5


@pytest.mark.parametrize(
    "model",
    [
        fused("FusedConv", "xwb", TAPS, SOUND, activation="Swish"),
        fused("Attention", "xwb", QKV, ROWS, num_heads=N, do_rotary=1),
        fused("Gelu", "x", {}, ROWS, domain="com.someone"),
        fused("MultiHeadAttention", "q", {}, {"q": (B, S, N, 3, H)}, num_heads=N),
        fused("Attention", ["x", "w", "b", "ends"], QKV, ROWS | {"ends": (2 * B,)}, num_heads=N),
        fused(
            "RotaryEmbedding",
            ["x", "steps", "cos", "sin"],
            ANGLES,
            ROWS | {"steps": (1,)},
            scale=0.5,
        ),
    ],
)
def test_what_is_not_known_to_be_exact_stays(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    assert take_apart(model) == ""
    assert model.SerializeToString() == before


def test_ranks_become_known_on_the_way(run: Runs) -> None:
    nodes = [
        helper.make_node("Gelu", ["x"], ["g"], "gelu", domain="com.microsoft"),
        helper.make_node("FusedMatMul", ["g", "z"], ["y"], "m", domain="com.microsoft", transA=1),
    ]
    model = graph_of(nodes, {"x": (B, 4, S), "z": (B, 4, 6)}, ["y"])
    feed = {"x": some(B, 4, S), "z": some(B, 4, 6)}
    before = run(model, **feed)
    assert take_apart(model) == "fused operators are taken apart (1 FusedMatMul, 1 Gelu)"
    assert worst(before, run(model, **feed)) < 2e-5


def test_the_layer_keeps_the_name_of_the_node() -> None:
    model = onnx.ModelProto.FromString(CASES["FusedConv"][0].SerializeToString())
    take_apart(model)
    assert [layer.name for layer in find_layers(model)] == ["node"]
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
