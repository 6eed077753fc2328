"""Constants of a graph as ONNX Runtime folds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from quantkit.arrays import Array
from quantkit.errors import ModelError
from quantkit.graph.partition import PartitionedGraph
from quantkit.graph.tensors import embed, tensor_array
from quantkit.runtime.errors import in_one_line
from quantkit.runtime.session import session_options


class FoldedConstants:
    """The values of one graph that depend on constants only, each computed when it is wanted.

    Args:
        model: is not changed, and must not change.
        source: the file, for messages.
    """

    def __init__(self, model: onnx.ModelProto, source: Path) -> None:
        self.source = source
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._graph = PartitionedGraph(model, [value.name for value in model.graph.output])

    def __contains__(self, name: str) -> bool:
        """Whether the value called ``name`` depends on constants only."""
        return self._graph.is_constant(name)

    def array(self, name: str) -> Array:
        """The value called ``name``.

        Raises:
            ModelError: ONNX Runtime does not compute it.
        """
        if name in self._initializers:
            return tensor_array(self._initializers[name])
        part = self._graph.part({}, [name])
        embed(part.graph.initializer)
        return computed(part, self.source)


def computed(part: onnx.ModelProto, source: Path) -> Array:
    """The output of a model without inputs.

    Raises:
        ModelError: ONNX Runtime does not run it.
    """
    options = session_options()
    # Run once: what folding would leave in memory, a run frees as soon as it was read.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_cpu_mem_arena = False
    try:
        session = onnxruntime.InferenceSession(
            part.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        (result,) = session.run(None, {})
    # ONNX Runtime's exceptions share no base class but Exception.
    except Exception as error:
        raise ModelError(f"{source}: a decoder does not run: {in_one_line(error)}") from error
    return np.asarray(result)
