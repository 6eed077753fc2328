"""Which operators layers are made of."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from quantkit.graph.operators.base import Operator
from quantkit.graph.operators.conv import Conv
from quantkit.graph.operators.conv_transpose import ConvTranspose
from quantkit.graph.operators.gather import Gather
from quantkit.graph.operators.gemm import Gemm
from quantkit.graph.operators.gru import GRU
from quantkit.graph.operators.lstm import LSTM
from quantkit.graph.operators.matmul import MatMul

_REGISTRY: dict[str, Operator] = {}


def register(operator: Operator) -> None:
    """Let nodes of type ``operator.name`` be layers; replaces what was there for that name."""
    _REGISTRY[operator.name] = operator


def operator_named(name: str) -> Operator | None:
    """The operator of this ONNX name; None where nodes of it are no layers."""
    return _REGISTRY.get(name)


def operator_of(node: onnx.NodeProto) -> Operator | None:
    """The operator that ``node`` is of; other domains may call something else alike."""
    return _REGISTRY.get(node.op_type) if node.domain in ("", "ai.onnx") else None


def operators() -> Iterator[Operator]:
    """All of them, in the order in which they were registered."""
    yield from _REGISTRY.values()


def products() -> tuple[str, ...]:
    """Names of those that multiply rows of an activation by a matrix."""
    return tuple(each.name for each in operators() if each.is_product)


def lookups() -> tuple[str, ...]:
    """Names of those that look rows up."""
    return tuple(each.name for each in operators() if each.is_lookup)


def affine() -> tuple[str, ...]:
    """Names of those whose output channels are weighted sums of the inputs, plus a bias."""
    return tuple(each.name for each in operators() if each.is_affine)


for _operator in (Conv(), ConvTranspose(), MatMul(), Gemm(), Gather(), LSTM(), GRU()):
    register(_operator)
