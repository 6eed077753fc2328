"""Moonshine (Jeffries et al., 2024): an encoder of a waveform of any length, and a decoder that
writes it down.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantkit.tasks.base import labels_and_frontend
from quantkit.tasks.encoder_decoder import GreedyTask
from quantkit.tasks.names import MOONSHINE

if TYPE_CHECKING:
    from quantkit.audio.frontends import AnyFrontend
    from quantkit.graph.info import ArtifactInfo
    from quantkit.runtime.moonshine.model import MoonshineModel
    from quantkit.text.labels import Labels


class MoonshineTask(GreedyTask):
    """Two graphs: from ``waveform`` to ``cross.*``, and on to ``log_probs`` of tokens."""

    name = MOONSHINE
    follows = frozenset(("decoder", "words"))

    def model_class(self) -> type[MoonshineModel]:
        """See :class:`~quantkit.runtime.moonshine.model.MoonshineModel`."""
        from quantkit.runtime.moonshine.model import MoonshineModel

        return MoonshineModel

    def bundle_contents(self, info: ArtifactInfo, model: Path) -> tuple[Labels, AnyFrontend]:
        """Its labels, whose blank ends a text."""
        return labels_and_frontend(info, model)

    def decoding_in_bundle(self, info: ArtifactInfo) -> dict[str, Any] | None:
        """What a text begins and ends with, and how long it may be."""
        from quantkit.runtime.moonshine.settings import moonshine_settings

        settings = moonshine_settings(info.extra)
        return {
            "kind": self.name,
            "prompt": [settings.start],
            "end": None if info.labels is None else info.labels.blank,
            "tokens_per_second": settings.tokens_per_second,
            "tokens_more": 0,
            "suppressed": [],
            "suppressed_first": [],
        }
