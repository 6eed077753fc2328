"""Canary (Puvvada et al., 2024): a FastConformer, and a decoder that writes or translates what was
said, as its prompt asks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantkit.tasks.base import labels_and_frontend
from quantkit.tasks.encoder_decoder import GreedyTask
from quantkit.tasks.names import CANARY

if TYPE_CHECKING:
    from quantkit.audio.frontends import AnyFrontend
    from quantkit.graph.info import ArtifactInfo
    from quantkit.runtime.canary.model import CanaryModel
    from quantkit.text.labels import Labels


class CanaryTask(GreedyTask):
    """Two graphs: from ``features`` to ``cross.*``, and on to ``log_probs`` of tokens."""

    name = CANARY
    follows = frozenset(("decoder", "language", "translate", "target_language", "punctuation"))

    def model_class(self) -> type[CanaryModel]:
        """See :class:`~quantkit.runtime.canary.model.CanaryModel`."""
        from quantkit.runtime.canary.model import CanaryModel

        return CanaryModel

    def bundle_contents(self, info: ArtifactInfo, model: Path) -> tuple[Labels, AnyFrontend]:
        """Its labels, whose blank ends a text."""
        return labels_and_frontend(info, model)

    def decoding_in_bundle(self, info: ArtifactInfo) -> dict[str, Any] | None:
        """What a text begins and ends with, where languages stand there, and how long it may be."""
        from quantkit.runtime.canary.settings import canary_settings

        settings = canary_settings(info.extra)
        return {
            "kind": self.name,
            "prompt": settings.prompt_of(settings.usual, settings.usual),
            "languages": settings.languages,
            "language": settings.usual,
            "source": settings.source,
            "target": settings.target,
            "end": None if info.labels is None else info.labels.blank,
            "tokens_per_second": settings.tokens_per_second,
            "tokens_more": settings.tokens_more,
            "longest": settings.positions - len(settings.prompt),
            "suppressed": [],
            "suppressed_first": [],
        }
