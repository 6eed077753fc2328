"""A Moonshine in the four graphs that its authors' first exporter wrote, made of any weights.

The exporter went from Keras to ONNX, so the products of attention are ``Einsum`` with weights of
three axes, keys and values lie as (clips, steps, heads, size), and inputs are told apart by their
places: ``args_0``, ``args_1``, ….
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from benchmarks.graph_writer import GraphWriter

Weights = Mapping[str, npt.NDArray[np.float32]]
STEMS = ("preprocess", "encode", "uncached_decode", "cached_decode")


@dataclass(frozen=True)
class Sizes:
    """What the weights do not say.

    Args:
        layers: of encoder and of decoder.
        heads: of all attention.
        pairs: channels of a head that turn by their position, halved.
    """

    layers: int
    heads: int
    pairs: int


class Keras(GraphWriter):
    """A graph with the weights of a model of ``transformers``, by the names that it has there."""

    def __init__(self, weights: Weights, sizes: Sizes) -> None:
        super().__init__(0)
        self.weights, self.sizes = weights, sizes
        self._known: set[str] = set()

    def once(self, name: str, values: Any) -> str:
        """A constant, stored under its name when it is first asked for."""
        if name not in self._known:
            self._known.add(name)
            self.constant(name, values)
        return name

    def vector(self, name: str, *shape: int) -> str:
        return self.once(name, self.weights[name].reshape(shape or (-1,)))

    def numbers(self, *values: int) -> str:
        return self.once(f"int_{'_'.join(map(str, values))}", np.array(values, np.int64))

    def real(self, value: float) -> str:
        return self.once(f"real_{value:g}", np.array(value, np.float32))

    def heads(self, hidden: str, name: str) -> str:
        """(b, t, c) to (b, t, heads, size)."""
        weight = self.weights[f"{name}.weight"]
        width = weight.shape[1]
        kernel = self.once(f"{name}.kernel", weight.T.reshape(width, self.sizes.heads, -1))
        return self.add("Einsum", [hidden, kernel], f"{name}.made", equation="abc,cde->abde")

    def out(self, hidden: str, name: str) -> str:
        weight = self.weights[f"{name}.weight"]
        kernel = self.once(f"{name}.kernel", weight.T.reshape(self.sizes.heads, -1, len(weight)))
        return self.add("Einsum", [hidden, kernel], f"{name}.made", equation="abcd,cde->abe")

    def dense(self, hidden: str, name: str) -> str:
        kernel = self.once(f"{name}.kernel", np.ascontiguousarray(self.weights[f"{name}.weight"].T))
        made = self.add("MatMul", [hidden, kernel], f"{name}.product")
        return self.add("Add", [made, self.vector(f"{name}.bias")], f"{name}.made")

    def norm(self, hidden: str, name: str) -> str:
        mean = self.add("ReduceMean", [hidden], f"{name}.mean", axes=[-1])
        apart = self.add("Sub", [hidden, mean], f"{name}.apart")
        square = self.add("Mul", [apart, apart], f"{name}.square")
        variance = self.add("ReduceMean", [square], f"{name}.variance", axes=[-1])
        more = self.add("Add", [variance, self.real(1e-5)], f"{name}.more")
        root = self.add("Sqrt", [more], f"{name}.root")
        scaled = self.add("Div", [apart, root], f"{name}.scaled")
        return self.add("Mul", [scaled, self.vector(f"{name}.weight")], f"{name}.made")

    def gelu(self, value: str, name: str) -> str:
        inner = self.add("Div", [value, self.real(2.0**0.5)], f"{name}.inner")
        erf = self.add("Erf", [inner], f"{name}.erf")
        more = self.add("Add", [erf, self.real(1.0)], f"{name}.one_more")
        both = self.add("Mul", [value, more], f"{name}.both")
        return self.add("Mul", [both, self.real(0.5)], f"{name}.made")

    def turns(self, length: str, name: str) -> tuple[str, str]:
        """Cosines and sines (t, 1, 2 · pairs) of the positions 0, 1, … below ``length`` (1,)."""
        end = self.add("Squeeze", [length, self.numbers(0)], "positions.end")
        ends = [self.once(f"i32_{n}", np.array(n, np.int32)) for n in (0, 1)]
        places = self.add("Range", [ends[0], end, ends[1]], "positions.places")
        real = self.add("Cast", [places], "positions.real", to=TensorProto.FLOAT)
        column = self.add("Unsqueeze", [real, self.numbers(1)], "positions.column")
        speeds = np.repeat(self.weights[f"{name}.inv_freq"], 2)[None]
        angles = self.add("Mul", [column, self.once("speeds", speeds)], "positions.angles")
        beside = self.add("Unsqueeze", [angles, self.numbers(1)], "positions.beside")
        return self.add("Cos", [beside], "positions.cos"), self.add(
            "Sin", [beside], "positions.sin"
        )

    def turned(self, states: str, turns: tuple[str, str], name: str) -> str:
        """The last turns are those of ``states``: (b, t, heads, size)."""
        end, pairs = 2 * self.sizes.pairs, self.sizes.pairs
        shape = self.add("Shape", [states], f"{name}.shape")
        count = self.add(
            "Slice", [shape, self.numbers(1), self.numbers(2), self.numbers(0)], f"{name}.count"
        )
        begin = self.add("Neg", [count], f"{name}.begin")
        last = [
            self.add(
                "Slice",
                [each, begin, self.numbers(1 << 40), self.numbers(0)],
                f"{name}.last{number}",
            )
            for number, each in enumerate(turns)
        ]
        axis = self.numbers(3)
        cuts = [
            self.add(
                "Slice", [states, self.numbers(a), self.numbers(b), axis], f"{name}.part{number}"
            )
            for number, (a, b) in enumerate(((0, end), (end, 1 << 40)))
        ]
        split = self.add("Reshape", [cuts[0], self.numbers(0, 0, 0, pairs, 2)], f"{name}.pairs")
        halves = [
            self.add(
                "Gather",
                [split, self.once(f"place{number}", np.array([number]))],
                f"{name}.half{number}",
                axis=4,
            )
            for number in range(2)
        ]
        negative = self.add("Neg", [halves[1]], f"{name}.negative")
        other = self.add("Concat", [negative, halves[0]], f"{name}.other", axis=4)
        flat = self.add("Reshape", [other, self.numbers(0, 0, 0, end)], f"{name}.flat")
        products = [
            self.add("Mul", pair, f"{name}.product{number}")
            for number, pair in enumerate(((cuts[0], last[0]), (flat, last[1])))
        ]
        made = self.add("Add", products, f"{name}.sum")
        return self.add("Concat", [made, cuts[1]], f"{name}.turned", axis=3)

    def attention(
        self, query: str, key: str, value: str, name: str, size: int, unseen: str = ""
    ) -> str:
        scaled = self.add("Mul", [query, self.real(size**-0.5)], f"{name}.scaled")
        scores = self.add("Einsum", [key, scaled], f"{name}.scores", equation="aecd,abcd->acbe")
        if unseen:
            scores = self.add("Add", [scores, unseen], f"{name}.masked")
        shares = self.add("Softmax", [scores], f"{name}.shares", axis=-1)
        heard = self.add("Einsum", [shares, value], f"{name}.heard", equation="acbe,aecd->abcd")
        return self.out(heard, f"{name}.o_proj")

    def unseen(self, query: str, key: str) -> str:
        """What a later token is worth to an earlier one: (queries, keys)."""
        sizes = [
            self.add(
                "Gather",
                [self.add("Shape", [each], f"unseen.shape{number}"), self.numbers(1)],
                f"unseen.size{number}",
            )
            for number, each in enumerate((query, key))
        ]
        square = self.add("Concat", [sizes[1], sizes[1]], "unseen.sizes", axis=0)
        ones = self.add(
            "ConstantOfShape",
            [square],
            "unseen.ones",
            value=onnx.numpy_helper.from_array(np.ones(1, np.int32)),
        )
        rows, columns = (
            self.add(
                "CumSum",
                [ones, self.once(f"i32_{axis}", np.array(axis, np.int32))],
                f"unseen.{axis}",
            )
            for axis in (0, 1)
        )
        seen = self.add("GreaterOrEqual", [rows, columns], "unseen.seen")
        begin = self.add("Neg", [sizes[0]], "unseen.begin")
        own = self.add("Slice", [seen, begin, self.numbers(1 << 40), self.numbers(0)], "unseen.own")
        return self.add("Where", [own, self.real(0.0), self.real(-1e9)], "unseen.mask")


def write_four(folder: Path, weights: Weights, sizes: Sizes, *, addition: str = "") -> Path:
    """The four graphs.

    Args:
        addition: before ``.onnx`` in the names of all but the first, such as ``.int8``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    width = weights["model.encoder.layer_norm.weight"].size
    size = width // sizes.heads
    audio: Mapping[str, tuple[str, Sequence[int | str]]] = {"args_0": ("f", ["unk_0", "unk_1"])}
    steps: tuple[str, Sequence[int | str]] = ("f", ["unk_0", "unk_1", width])
    first = Keras(weights, sizes)
    _preprocess(first)
    first.save(folder / f"{STEMS[0]}{addition}.onnx", audio, {"sequential": steps})
    second = Keras(weights, sizes)
    _encode(second, size)
    second.save(
        folder / f"{STEMS[1]}{addition}.onnx",
        {"args_0": steps, "args_1": ("i", [1])},
        {"layer_normalization_16": steps},
    )
    for number, stem in enumerate(STEMS[2:]):
        graph = Keras(weights, sizes)
        inputs: dict[str, tuple[str, Sequence[int | str]]] = {
            "args_0": ("i", ["unk_2", "unk_3"]),
            "args_1": ("f", ["unk_4", "unk_5", width]),
            "args_2": ("i", [1]),
        }
        state: tuple[str, Sequence[int | str]] = ("f", ["unk_6", "unk_7", sizes.heads, size])
        if number:
            inputs |= {f"args_{3 + place}": state for place in range(4 * sizes.layers)}
        names = _decode(graph, size, cached=bool(number))
        graph.save(
            folder / f"{stem}{addition}.onnx",
            inputs,
            {
                "reversible_embedding": ("f", ["unk_2", "unk_3", "unk_8"]),
                **dict.fromkeys(names, state),
            },
        )
    return folder


def _preprocess(graph: Keras) -> None:
    weights, prefix = graph.weights, "model.encoder."
    graph.add("Unsqueeze", ["args_0", graph.numbers(1)], "channel")
    conv1 = graph.once("conv1", weights[f"{prefix}conv1.weight"])
    graph.add("Conv", ["channel", conv1], "conv1.made", strides=[64])
    graph.add("Tanh", ["conv1.made"], "tanh")
    graph.add("ReduceMean", ["tanh"], "mean", axes=[1, 2])
    graph.add("Sub", ["tanh", "mean"], "apart")
    graph.add("Mul", ["apart", "apart"], "square")
    graph.add("ReduceMean", ["square"], "variance", axes=[1, 2])
    graph.add("Add", ["variance", graph.real(1e-5)], "variance.more")
    graph.add("Sqrt", ["variance.more"], "root")
    graph.add("Div", ["apart", "root"], "scaled")
    graph.add("Mul", ["scaled", graph.vector(f"{prefix}groupnorm.weight", 1, -1, 1)], "weighed")
    value = graph.add("Add", ["weighed", graph.vector(f"{prefix}groupnorm.bias", 1, -1, 1)], "even")
    for name, stride in (("conv2", 3), ("conv3", 2)):
        kernel = graph.once(name, weights[f"{prefix}{name}.weight"])
        bias = graph.vector(f"{prefix}{name}.bias")
        value = graph.add("Conv", [value, kernel, bias], f"{name}.conv", strides=[stride])
        value = graph.gelu(value, name)
    graph.add("Transpose", [value], "sequential", perm=[0, 2, 1])


def _encode(graph: Keras, size: int) -> None:
    hidden = "args_0"
    turns = graph.turns("args_1", "model.encoder.rotary_emb")
    for number in range(graph.sizes.layers):
        name = f"model.encoder.layers.{number}"
        inner = graph.norm(hidden, f"{name}.input_layernorm")
        query, key, value = (graph.heads(inner, f"{name}.self_attn.{each}_proj") for each in "qkv")
        query, key = (graph.turned(each, turns, each) for each in (query, key))
        made = graph.attention(query, key, value, f"{name}.self_attn", size)
        hidden = graph.add("Add", [hidden, made], f"{name}.attended")
        inner = graph.norm(hidden, f"{name}.post_attention_layernorm")
        inner = graph.gelu(graph.dense(inner, f"{name}.mlp.fc1"), f"{name}.gelu")
        made = graph.dense(inner, f"{name}.mlp.fc2")
        hidden = graph.add("Add", [hidden, made], f"{name}.done")
    graph.add(
        "Identity", [graph.norm(hidden, "model.encoder.layer_norm")], "layer_normalization_16"
    )


def _decode(graph: Keras, size: int, *, cached: bool) -> list[str]:
    """Names of the states behind the logits."""
    embedding = graph.once("embedding", graph.weights["model.decoder.embed_tokens.weight"])
    hidden = graph.add("Gather", [embedding, "args_0"], "embedded")
    turns = graph.turns("args_2", "model.decoder.rotary_emb")
    names: list[str] = []
    unseen = ""
    for number in range(graph.sizes.layers):
        name = f"model.decoder.layers.{number}"
        given = [f"args_{3 + 4 * number + place}" for place in range(4)]
        inner = graph.norm(hidden, f"{name}.input_layernorm")
        query, key, value = (graph.heads(inner, f"{name}.self_attn.{each}_proj") for each in "qkv")
        query, key = (graph.turned(each, turns, each) for each in (query, key))
        if cached:
            key = graph.add("Concat", [given[0], key], f"{name}.keys", axis=1)
            value = graph.add("Concat", [given[1], value], f"{name}.values", axis=1)
        unseen = unseen or graph.unseen(query, key)
        made = graph.attention(query, key, value, f"{name}.self_attn", size, unseen)
        hidden = graph.add("Add", [hidden, made], f"{name}.attended")
        inner = graph.norm(hidden, f"{name}.post_attention_layernorm")
        query = graph.heads(inner, f"{name}.encoder_attn.q_proj")
        heard = (
            given[2:]
            if cached
            else [graph.heads("args_1", f"{name}.encoder_attn.{each}_proj") for each in "kv"]
        )
        made = graph.attention(query, heard[0], heard[1], f"{name}.encoder_attn", size)
        hidden = graph.add("Add", [hidden, made], f"{name}.listened")
        inner = graph.dense(graph.norm(hidden, f"{name}.final_layernorm"), f"{name}.mlp.fc1")
        graph.add("Split", [inner], f"{name}.up {name}.gate", axis=2)
        graph.add("Sigmoid", [f"{name}.gate"], f"{name}.sigmoid")
        graph.add("Mul", [f"{name}.gate", f"{name}.sigmoid"], f"{name}.silu")
        graph.add("Mul", [f"{name}.silu", f"{name}.up"], f"{name}.gated")
        made = graph.dense(f"{name}.gated", f"{name}.mlp.fc2")
        hidden = graph.add("Add", [hidden, made], f"{name}.done")
        for place, state in enumerate((key, value, *heard)):
            # Keras calls what a model of layers gives after the layers that there were.
            made = f"functional_{22 + number}_{place}"
            names.append(graph.add("Identity", [state], made))
    normed = graph.norm(hidden, "model.decoder.norm")
    # The exporter folds the transposition, so the file holds the embedding twice.
    kernel = graph.once(
        "embedding.turned", np.ascontiguousarray(graph.weights["proj_out.weight"].T)
    )
    graph.add("MatMul", [normed, kernel], "reversible_embedding")
    return names
