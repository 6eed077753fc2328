"""Transducers (Graves 2012): text from labels, of which each frame adds none, one or several.

Two models are compared along the path that the float model takes, by what the joiner says at each
of its points: the distribution of labels and, of models with durations (TDT), that of durations,
whose divergences add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantkit.errors import ModelError
from quantkit.tasks.base import Answer, Task, labels_and_frontend
from quantkit.tasks.names import TRANSDUCER

if TYPE_CHECKING:
    from quantkit.arrays import Array, FloatArray
    from quantkit.audio.frontends import AnyFrontend
    from quantkit.graph.info import ArtifactInfo
    from quantkit.runtime.transducer.model import Transducer
    from quantkit.runtime.transducer.network import TransducerNetwork
    from quantkit.tasks.inputs import ClipInputs, Feed
    from quantkit.text.decoding import Decoding
    from quantkit.text.labels import Labels
    from quantkit.text.scoring import TextScoring


class TransducerTask(Task):
    """An encoder, and a predictor and joiner in one graph or in two."""

    name = TRANSDUCER
    roles = ("encoder", "predictor", "joiner")
    unit = "token"
    follows = frozenset(("decoder", "width", "words"))
    parts_differ = True

    def has_roles(self, roles: Sequence[str]) -> bool:
        """With the predictor and the joiner as one ``decoder``, or apart."""
        return tuple(roles) in (self.roles, ("encoder", "decoder"))

    def inputs(self, info: ArtifactInfo, model: Path | None = None) -> ClipInputs:
        """Features, and the path that the float model takes."""
        from quantkit.tasks.transducer_inputs import TransducerInputs

        return TransducerInputs(info, model)

    def posteriors(
        self, path: Path, output: str, feeds: Iterable[Feed]
    ) -> Iterator[tuple[str, Array]]:
        """Point by point, with states of its own, as a text is written."""
        network = self.network(path)
        for clip, inputs in feeds:
            yield clip, _along(network, self.encoded(network, inputs), inputs)

    def text_of(
        self, info: ArtifactInfo, posteriors: Array, inputs: Mapping[str, Array]
    ) -> str | None:
        """The labels on the path, which is the float model's."""
        if info.labels is None or np.isnan(posteriors).any():
            return None
        rows = posteriors.reshape(-1, posteriors.shape[-1])[:, : len(info.labels)]
        said = rows.argmax(axis=1)
        return info.labels.decode(said[said != info.labels.blank].tolist())

    def scoring(self, info: ArtifactInfo) -> TextScoring | None:
        """In its alphabet."""
        from quantkit.text.scoring import LabelScoring

        return None if info.labels is None else LabelScoring(info.labels)

    def answers(
        self, path: Path, output: str, feeds: Iterable[Feed], info: ArtifactInfo
    ) -> Iterator[Answer]:
        """With the text of the path that it takes itself."""
        from quantkit.runtime.transducer.model import Transducer

        model = Transducer(info, self.network(path))
        for clip, inputs in feeds:
            encoded = self.encoded(model.network, inputs)
            text = model.text_of(model.written(encoded))
            yield Answer(clip, _along(model.network, encoded, inputs), text)

    def network(self, path: Path) -> TransducerNetwork:
        """What runs the artifact at ``path``."""
        from quantkit.graph.artifact import read_info
        from quantkit.runtime.transducer.network import TransducerNetwork
        from quantkit.runtime.transducer.settings import transducer_settings

        settings = transducer_settings(read_info(path, check=False).extra)
        return TransducerNetwork.load(path, settings, threads=0)

    def encoded(self, network: TransducerNetwork, inputs: Mapping[str, Array]) -> FloatArray:
        """(steps, width) of the clip that a feed holds."""
        (found,) = network.encode([*inputs["features"]])
        return found

    def open(
        self, path: Path, threads: int = 1, *, check: bool = True, decoding: Decoding | None = None
    ) -> Transducer:
        """See :meth:`~quantkit.runtime.transducer.model.Transducer.load`."""
        from quantkit.runtime.transducer.model import Transducer

        return Transducer.load(path, threads, check=check, decoding=decoding)

    def can_run(self, info: ArtifactInfo) -> bool:
        """With labels and a front end."""
        return info.labels is not None and info.frontend is not None

    def bundle_contents(self, info: ArtifactInfo, model: Path) -> tuple[Labels, AnyFrontend]:
        """Its labels, and its front end, which becomes a part of the encoder."""
        from quantkit.exporting.frontend_graph import can_fuse

        labels, frontend = labels_and_frontend(info, model)
        if not info.fused and not can_fuse(frontend):
            raise ModelError(
                f"{model}: its front end ({type(frontend).__name__}) cannot be part of a graph, so "
                "there is no bundle of it; hand over its files as they are"
            )
        return labels, frontend

    def decoding_in_bundle(self, info: ArtifactInfo) -> dict[str, Any] | None:
        """As :class:`~quantkit.runtime.transducer.settings.TransducerSettings` has it."""
        from quantkit.runtime.transducer.settings import transducer_settings

        return {"kind": self.name, **asdict(transducer_settings(info.extra))}


def _along(network: TransducerNetwork, encoded: FloatArray, inputs: Mapping[str, Array]) -> Array:
    """(1, points, labels) along the path that ``inputs`` hold."""
    from quantkit.runtime.transducer.network import Memory

    rows, before = [], None
    for place, frame in enumerate(inputs["frames"]):
        tokens = tuple(int(token) for token in inputs["tokens"][place])
        given = network.at(inputs, place)
        # The first point of a clip has what a text begins with.
        memory = Memory(tokens, given)
        if before is not None:
            # Between two points the float model has read a label, unless it remembers the same.
            read = tokens != before[0].memory.tokens or any(
                (given[n] != before[1][n]).any() for n in given
            )
            memory = Memory(tokens, before[0].states) if read else before[0].memory
        step = network.step(encoded[frame], memory)
        rows.append(step.log_probs)
        before = step, given
    return np.stack(rows)[None]
