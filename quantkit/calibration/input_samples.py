"""A sample of the inputs that a layer's weights meet, from a stream of clips."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import onnx

from quantkit.arrays import FloatArray
from quantkit.calibration.patches import windows
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import Geometry, layer_weights

#: Rows that are kept of a layer.
ROWS = 128
#: Elements that are kept of a layer, at most: very wide kernels get fewer rows.
_LARGEST_SAMPLE = 1 << 22
#: 2⁶⁴ divided by the golden ratio, and odd (Knuth, "The Art of Computer Programming", volume 3,
#: section 6.4).
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class InputSamples:
    """Some rows of :func:`~quantkit.calibration.patches.patches`, evenly spread over all clips.

    The n-th row of the stream has priority n · φ modulo 1, and those of lowest priority are kept.
    The sequence is as even as can be (Weyl's; the three-distance theorem), so the rows lie about
    equally far apart, however many there were; and as φ is irrational, they fall in step with no
    period in the data. Which rows they are does not depend on where the stream is cut into clips.

    Memory: ``capacity`` rows, however long the stream.

    Args:
        geometry: of the layer; layers of the same geometry can share one sample.
        capacity: rows to keep, at most.
    """

    def __init__(self, geometry: Geometry, capacity: int = ROWS) -> None:
        self.geometry = geometry
        width = geometry.groups * geometry.inputs
        self.capacity = max(min(capacity, _LARGEST_SAMPLE // width), 1)
        self.seen = 0
        self._priorities = np.zeros(0, np.uint64)
        self._rows = np.zeros((0, geometry.groups, geometry.inputs), np.float32)

    def update(self, values: FloatArray) -> None:
        """Take in the finite values of :attr:`Geometry.value` for one clip."""
        views = windows(values, self.geometry)
        positions = views.shape[: 1 + len(self.geometry.kernel)]
        count = math.prod(positions)
        numbers = np.arange(self.seen, self.seen + count, dtype=np.uint64)
        self.seen += count
        priorities = np.concatenate([self._priorities, numbers * _GOLDEN])
        # In the order of the stream.
        kept = np.sort(np.argsort(priorities)[: self.capacity])
        old, new = np.split(kept, [np.searchsorted(kept, len(self._priorities))])
        chosen = np.unravel_index(new - len(self._priorities), positions)
        rows = views[chosen].reshape(-1, *self._rows.shape[1:])
        self._rows = np.concatenate([self._rows[old], rows])
        self._priorities = priorities[kept]

    def rows(self) -> FloatArray:
        """(groups, rows, inputs); no rows when nothing was seen."""
        return np.ascontiguousarray(self._rows.swapaxes(0, 1))


def input_samples(
    model: onnx.ModelProto, names: Collection[str], known: Iterable[InputSamples] = ()
) -> Mapping[str, InputSamples]:
    """A sample for each of the named layers; those that read the same input share one.

    Layers without :class:`~quantkit.calibration.patches.Geometry` are left out.

    Args:
        known: to be taken rather than fresh ones.
    """
    editor = GraphEditor(model)
    samples = {each.geometry: each for each in known}
    found: dict[str, InputSamples] = {}
    for name, weight in layer_weights(editor).items():
        geometry = weight.geometry() if name in names else None
        if geometry is not None:
            found[name] = samples.setdefault(geometry, InputSamples(geometry))
    return found
