"""An ONNX graph as a PyTorch module: run node by node, with gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from quantkit.errors import ModelError
from quantkit.finetuning.operators import compute, known_operators, to_array
from quantkit.finetuning.recurrent import RECURRENT, problem_of
from quantkit.graph.partition import reads


class TorchGraph(nn.Module):
    """Computes outputs of ``model`` on batches of its inputs.

    ::

        graph = TorchGraph(model, ["log_probs"])
        log_probs = graph({"features": features, "lengths": lengths})["log_probs"]

    Args:
        model: of standard operators; its constants are copied.
        outputs: values to compute; nodes that they do not depend on are left out.

    Raises:
        ModelError: an operator, or a form of it, is not known.
    """

    def __init__(self, model: onnx.ModelProto, outputs: Sequence[str]) -> None:
        super().__init__()
        self.outputs = tuple(outputs)
        self._nodes = _needed(model.graph, outputs)
        known = known_operators()
        for node in self._nodes:
            if node.op_type not in known or node.domain not in ("", "ai.onnx"):
                raise ModelError(
                    f"cannot train through operator {node.op_type} (node {node.name}): it has no "
                    "gradient here"
                )
        self._attributes = [
            {each.name: helper.get_attribute_value(each) for each in node.attribute}
            for node in self._nodes
        ]
        for node, attributes in zip(self._nodes, self._attributes, strict=True):
            if node.op_type in RECURRENT:
                problem = problem_of(node.op_type, attributes, node.input)
                if problem:
                    raise ModelError(
                        f"cannot train through {node.op_type} (node {node.name}): {problem}"
                    )
        read = {name for node in self._nodes for name in node.input}
        self._constants = {
            tensor.name: torch.from_numpy(to_array(tensor))
            for tensor in model.graph.initializer
            if tensor.name in read
        }
        self._last_use = _last_uses(self._nodes)

    def constant(self, name: str) -> Tensor:
        """The constant called ``name``."""
        return self._constants[name]

    def forget(self, name: str) -> None:
        """Drop a constant, which is given in each run instead."""
        del self._constants[name]

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs by name.

        Args:
            inputs: those of the model, and values for constants of it, by name.
        """
        values: dict[str, Tensor] = {**self._constants, **inputs}
        for place, (node, attributes) in enumerate(zip(self._nodes, self._attributes, strict=True)):
            given = [values[name] if name else None for name in node.input]
            results = compute(node.op_type, attributes, given)
            values.update(zip(node.output, results, strict=False))
            # Without gradients, what nobody reads any more is freed.
            for name in self._last_use[place]:
                if name not in self.outputs:
                    values.pop(name, None)
        return {name: values[name] for name in self.outputs}


def _needed(graph: onnx.GraphProto, outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """Copies of the nodes that ``outputs`` depend on, in order."""
    wanted, found = set(outputs), []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(reads(node))
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            found.append(copy)
    return found[::-1]


def _last_uses(nodes: Sequence[onnx.NodeProto]) -> list[list[str]]:
    """For each node the values that no later one reads."""
    last: dict[str, int] = {}
    for place, node in enumerate(nodes):
        for name in (*node.input, *node.output):
            if name:
                last[name] = place
    uses: list[list[str]] = [[] for _ in nodes]
    for name, place in last.items():
        uses[place].append(name)
    return uses
