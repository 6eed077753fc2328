"""The order in which nodes can be run."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from typing import Any

import onnx
from onnx import NodeProto

from quantkit.graph.partition import reads


def in_order(nodes: Sequence[onnx.NodeProto], known: Collection[str]) -> list[int] | None:
    """Positions of ``nodes`` so that each stands behind those that it reads from.

    Those that are in order already keep their places, and others move no further than they must
    (Kahn's algorithm with the first free node next). Bodies of control flow are in order.

    Args:
        known: values that are there before the first node.

    Returns:
        None where the graph goes round in a circle.
    """
    maker = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    waiting: list[int] = []
    readers: list[list[int]] = [[] for _ in nodes]
    for position, node in enumerate(nodes):
        sources = {maker[name] for name in reads(node) if name in maker and name not in known}
        waiting.append(len(sources))
        for source in sources:
            readers[source].append(position)
    free = [position for position, count in enumerate(waiting) if not count]
    heapq.heapify(free)
    ordered: list[int] = []
    while free:
        position = heapq.heappop(free)
        ordered.append(position)
        for reader in readers[position]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(free, reader)
    return ordered if len(ordered) == len(nodes) else None


def put_in_order(nodes: Any, known: Collection[str]) -> bool:
    """Sort the nodes of a graph or function, in place; nothing is done where they are in order.

    Args:
        nodes: its field ``node``.
        known: see :func:`in_order`.

    Returns:
        False where the graph goes round in a circle.
    """
    ordered = in_order(nodes, known)
    if ordered is None:
        return False
    if ordered != list(range(len(nodes))):
        # Copies, because nodes go with the field that they lie in.
        moved = [NodeProto.FromString(nodes[i].SerializeToString()) for i in ordered]
        del nodes[:]
        nodes.extend(moved)
    return True
