"""What :func:`quantkit.plan` returns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from quantkit.graph.plan import Plan
from quantkit.planning.correction import Correction


@dataclass(frozen=True)
class PlanResult:
    """A plan, and what is known of it.

    Args:
        plan: what each layer becomes, and what the file will take.
        unit: what divergences are per: frame, token or clip.
        correction: predicted and measured divergence, of the method ``optimal``; else None.
        skipped: clips that could not be used, and why.
        warnings: what makes the clips less telling, and a budget that float32 keeps to.
    """

    plan: Plan
    unit: str
    correction: Correction | None = None
    skipped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """As :attr:`predicted_bytes`: the name that other results have for a size."""
        return self.predicted_bytes

    @property
    def predicted_bytes(self) -> int:
        """What the file will take, its external files included."""
        return self.plan.predicted_bytes or 0

    @property
    def predicted_divergence(self) -> float | None:
        """Of the posteriors from float32, in nats per unit; None where it is not known."""
        return None if self.correction is None else self.correction.foretold.mean

    def to_dict(self) -> dict[str, Any]:
        """The content of ``plan.json``, and the divergence where it is known."""
        return self.plan.to_json() | self._divergence()

    def rows(self) -> list[dict[str, Any]]:
        """One row per layer, for ``pandas.DataFrame``."""
        return [layer.to_row() for layer in self.plan.layers]

    def _divergence(self) -> dict[str, Any]:
        found = self.correction
        if found is None:
            return {}
        return {
            "divergence": {
                "predicted": found.optimum.divergence,
                "measured": None if found.measured is None else found.measured.mean,
                "interval": None if found.measured is None else found.measured.interval,
                "rounds": [asdict(each) for each in found.rounds],
            }
        }
