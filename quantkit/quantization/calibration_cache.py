"""What several steps on one model and one user's audio share, so that each thing is done once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import onnx

from quantkit.calibration.calibrate import Tracker
from quantkit.calibration.feeds import Feeds
from quantkit.graph.digest import graph_digest
from quantkit.quantization.encodings import Encodings
from quantkit.quantization.equalize.channel_scaling import Magnitudes

#: Those that have seen all clips, by what they followed.
Trackers = dict[Hashable, Tracker]


class CalibrationCache:
    """Analysis, correction of the plan and quantization hear the same clips and round alike.

    ::

        shared = CalibrationCache()
        table = analyze(source, feeds, shared=shared)
        result = quantize_model(source, destination, plan, feeds, shared=shared)

    Attributes:
        encodings: weights that were encoded.
    """

    def __init__(self) -> None:
        self.encodings = Encodings()
        self._heard: tuple[tuple[str, str], Trackers] | None = None
        self._magnitudes: dict[Hashable, Mapping[str, Magnitudes]] = {}

    def magnitudes(
        self,
        model: onnx.ModelProto,
        feeds: Feeds,
        junctions: tuple[str, ...],
        observe: Callable[[], Mapping[str, Magnitudes]],
    ) -> Mapping[str, Magnitudes]:
        """What ``observe`` finds at ``junctions`` of ``model`` with ``feeds``, found once."""
        about = graph_digest(model), feeds.digest(), junctions
        if about not in self._magnitudes:
            self._magnitudes[about] = observe()
        return self._magnitudes[about]

    def trackers(self, model: onnx.ModelProto, feeds: Feeds) -> Trackers:
        """Those that have heard ``feeds`` through ``model``; those of any other are forgotten.

        To be given to :func:`~quantkit.quantization.observe.observe`, which adds to them.
        """
        about = graph_digest(model), feeds.digest()
        if self._heard is None or self._heard[0] != about:
            self._heard = about, {}
        return self._heard[1]
