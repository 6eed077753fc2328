"""Moonshine (Jeffries et al., 2024): an encoder of a waveform of any length, and a decoder that
writes it down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantkit.tasks.encoder_decoder import GreedyTask
from quantkit.tasks.names import MOONSHINE

if TYPE_CHECKING:
    from quantkit.runtime.moonshine.model import MoonshineModel


class MoonshineTask(GreedyTask):
    """Two graphs: from ``waveform`` to ``cross.*``, and on to ``log_probs`` of tokens."""

    name = MOONSHINE
    follows = frozenset(("decoder",))

    def model_class(self) -> type[MoonshineModel]:
        """See :class:`~quantkit.runtime.moonshine.model.MoonshineModel`."""
        from quantkit.runtime.moonshine.model import MoonshineModel

        return MoonshineModel
