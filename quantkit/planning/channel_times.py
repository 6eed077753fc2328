"""Latency of one model with fewer channels in some layers, for any number of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quantkit.graph.plan import Compute
from quantkit.planning.latency import LayerTimes, kernel_milliseconds, kernel_name
from quantkit.structure.channel_paths import ChannelPath


@dataclass(frozen=True)
class ChannelTimes:
    """Times of the model with all channels, and of the same with fewer, to reckon between them.

    Args:
        whole: of the model with all channels.
        cut: with those in ``counts``.
        counts: channels that each of the layers makes in ``cut``.
        paths: of these layers.
    """

    whole: LayerTimes
    cut: LayerTimes
    counts: Mapping[str, int] = field(default_factory=dict)
    paths: Mapping[str, ChannelPath] = field(default_factory=dict)

    @property
    def read_by(self) -> dict[str, ChannelPath]:
        """Paths by the layer that reads their channels."""
        return {path.consumer: path for path in self.paths.values()}

    def products(self, layer: str, made: int, read: int) -> float:
        """Multiplications of the layer as a share of those with all channels.

        Args:
            made, read: channels that it makes and reads; 0 for all.
        """
        return self._share(self.paths.get(layer), made) * self._share(self.read_by.get(layer), read)

    def milliseconds(
        self, layer: str, compute: Compute, made: int, read: int, activation_bits: int = 8
    ) -> float:
        """Of the layer and of an equal share of what lies around the layers.

        The layer's own time is taken to be linear in its products. What its channels save on their
        way to the layer that reads them is an equal share of what all have saved in ``cut``.
        """
        before, after = self.whole.layers[layer], self.cut.layers.get(layer, {})
        kernel = kernel_name(compute, activation_bits)
        whole = kernel_milliseconds(before, kernel)
        fewer = kernel_milliseconds(after, kernel) if after else whole
        least = self.products(layer, self.counts.get(layer, 0), self._read_in_cut(layer))
        left = 0.0
        if least < 1.0:
            left = (1.0 - self.products(layer, made, read)) / (1.0 - least)
        around = self.whole.other(compute) / len(self.whole.layers)
        return max(0.0, whole - left * (whole - fewer)) + around - self._saved(layer, compute, made)

    def _read_in_cut(self, layer: str) -> int:
        path = self.read_by.get(layer)
        return 0 if path is None else self.counts[path.producer]

    def _saved(self, layer: str, compute: Compute, made: int) -> float:
        """By operators between this layer and the one that reads its channels."""
        if not made or layer not in self.paths:
            return 0.0
        saved = max(0.0, self.whole.other(compute) - self.cut.other(compute)) / len(self.paths)
        path = self.paths[layer]
        left = 1.0 - self._share(path, made)
        return saved * left / (1.0 - self._share(path, self.counts[layer]))

    @staticmethod
    def _share(path: ChannelPath | None, count: int) -> float:
        return 1.0 if path is None or not count else count / path.channels
