"""Canary (Puvvada et al., 2024): a FastConformer, and a decoder that writes or translates what was
said, as its prompt asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantkit.tasks.encoder_decoder import GreedyTask
from quantkit.tasks.names import CANARY

if TYPE_CHECKING:
    from quantkit.runtime.canary.model import CanaryModel


class CanaryTask(GreedyTask):
    """Two graphs: from ``features`` to ``cross.*``, and on to ``log_probs`` of tokens."""

    name = CANARY
    follows = frozenset(("decoder", "language", "translate", "target_language", "punctuation"))

    def model_class(self) -> type[CanaryModel]:
        """See :class:`~quantkit.runtime.canary.model.CanaryModel`."""
        from quantkit.runtime.canary.model import CanaryModel

        return CanaryModel
