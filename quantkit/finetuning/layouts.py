"""In which order a kernel reads the weights of a float layer.

Kernels transpose weights and unfold convolutions, and a codec groups what lies side by side. So a
weight is trained in the order in which it is encoded. That order is found by sending the weights'
positions, instead of the weights, through the rewriting of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from quantkit.arrays import FloatArray
from quantkit.calibration.observations import Observations
from quantkit.codecs.base import Encoded
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import layer_weights
from quantkit.quantization.prepared import AssignedModel
from quantkit.quantization.rewrite import rewrite
from quantkit.quantization.weights import WeightStore

Positions = npt.NDArray[np.int64]

# float32 has all whole numbers up to its square.
_BASE = 1 << 12


@dataclass
class RecordingStore(WeightStore):
    """Remembers what each layer's codec was given, and what it made of that."""

    given: dict[str, FloatArray] = field(default_factory=dict)
    made: dict[str, Encoded] = field(default_factory=dict)

    def encode(
        self,
        layer: str,
        values: FloatArray,
        axis: int,
        importance: FloatArray | None = None,
        *,
        bias: bool = False,
        order: npt.NDArray[np.intp] | None = None,
    ) -> Encoded:
        """See :meth:`WeightStore.encode`."""
        encoded = super().encode(layer, values, axis, importance, bias=bias, order=order)
        self.given[layer], self.made[layer] = values, encoded
        return encoded


def kernel_positions(assigned: AssignedModel, observations: Observations) -> dict[str, Positions]:
    """Where each weight lies in the float layer's weight, by layer, in the kernel's shape.

    Args:
        assigned: its graph is not changed.
        observations: with the ranges of its static layers.
    """
    low = _given(assigned, observations, lambda places: places % _BASE)
    high = _given(assigned, observations, lambda places: places // _BASE)
    return {name: low[name].astype(np.int64) + _BASE * high[name].astype(np.int64) for name in low}


def _given(
    assigned: AssignedModel, observations: Observations, digit: Callable[[Positions], Positions]
) -> Mapping[str, FloatArray]:
    model = copied(assigned.model)
    editor = GraphEditor(model)
    for name, weight in layer_weights(editor).items():
        tensor = weight.tensor
        if tensor is None or assigned.choices[name].is_plain_float:
            continue
        values = weight.array()
        assert values is not None
        places = digit(np.arange(values.size)).reshape(values.shape).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(places, tensor.name))
    store = RecordingStore(
        {name: choice.codec.make() for name, choice in assigned.choices.items()}, dry=True
    )
    rewrite(
        model,
        assigned.choices,
        observations.ranges,
        store,
        pack=False,
        skip_passes=assigned.skip_passes,
    )
    return store.given


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy, for the caller to change."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
