"""What clips have shown of one model, and its encoded weights, kept for the steps that follow."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from quantkit.calibration.calibrate import Tracker
from quantkit.quantization.encodings import Encodings
from quantkit.quantization.equalize.channel_scaling import Magnitudes

Shown = TypeVar("Shown")

#: Those that have seen all clips, by what they followed.
Trackers = dict[Hashable, Tracker]


class CalibrationCache:
    """Analysis, correction of the plan and quantization observe the same clips and round alike.

    A prepared model has one. Its keys are the SHA-256 of the graph that was run, with every number
    in it, and the SHA-256 of all inputs.

    Attributes:
        encodings: weights that were encoded.
    """

    def __init__(self) -> None:
        self.encodings = Encodings()
        self._observed: tuple[tuple[str, str], Trackers] | None = None
        self._magnitudes: dict[Hashable, Mapping[str, Magnitudes]] = {}
        self._seen: dict[Hashable, dict[str, Any]] = {}

    def magnitudes(
        self,
        graph_sha256: str,
        audio_sha256: str,
        junctions: tuple[str, ...],
        observe: Callable[[], Mapping[str, Magnitudes]],
    ) -> Mapping[str, Magnitudes]:
        """What ``observe`` finds at ``junctions`` of the graph with these inputs, found once."""
        key = graph_sha256, audio_sha256, junctions
        if key not in self._magnitudes:
            self._magnitudes[key] = observe()
        return self._magnitudes[key]

    def seen(
        self,
        what: str,
        graph_sha256: str,
        audio_sha256: str,
        names: Iterable[str],
        observe: Callable[[Sequence[str]], Mapping[str, Shown]],
    ) -> dict[str, Shown]:
        """What was seen of layers ``names``: ``observe`` finds what is not known yet.

        Args:
            what: tells one kind of observation from others.
        """
        known = self._seen.setdefault((what, graph_sha256, audio_sha256), {})
        wanted = list(names)
        if missing := [name for name in wanted if name not in known]:
            known |= observe(missing)
        return {name: known[name] for name in wanted}

    def trackers(self, graph_sha256: str, audio_sha256: str) -> Trackers:
        """Those that have seen these inputs in this graph; those of any other are forgotten.

        To be given to :func:`~quantkit.quantization.observe.observe`, which adds to them.
        """
        key = graph_sha256, audio_sha256
        if self._observed is None or self._observed[0] != key:
            self._observed = key, {}
        return self._observed[1]

    def clear(self) -> None:
        """Forget everything, to have the memory for something else."""
        self.encodings = Encodings()
        self._observed = None
        self._magnitudes.clear()
        self._seen.clear()
