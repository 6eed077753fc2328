"""Where the accuracy of a quantized model goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quantkit.explanation.layers import LayerCost
from quantkit.explanation.remedies import Remedy
from quantkit.explanation.words import ClipChange
from quantkit.graph.plan import LayerPlan, Plan
from quantkit.personalization.parts import PartCost
from quantkit.sensitivity.estimate import Estimate
from quantkit.slices.compared import Slice
from quantkit.text.changes import TextChanges
from quantkit.version import __version__

EXPLANATION_SCHEMA = "quantkit.explanation/1"


@dataclass(frozen=True)
class Explanation:
    """What :func:`quantkit.explain` found.

    Args:
        float_model, quantized: the files.
        unit: ``frame``, ``token`` or ``clip``, which divergences are per.
        clips: that were heard, by the worst first.
        divergence: of the file's posteriors from the float model's, in nats per unit.
        changes: of the texts; None where the task has none.
        plan: that made the file; None: its metadata name none, and layers are not told apart.
        simulated: divergence of the plan as its layers were tried, on some of the clips; None
            without a plan.
        structure: of it, what layers of lower rank or with fewer channels cost.
        layers: costs of each layer of the plan, in graph order.
        graphs: costs of each graph of a model of several.
        slices: all clips, and some of them.
        remedies: what would help most, each tried.
        warnings: what makes all this less sure.
    """

    float_model: Path
    quantized: Path
    unit: str
    clips: tuple[ClipChange, ...]
    divergence: Estimate
    changes: TextChanges | None
    plan: Plan | None = None
    simulated: Estimate | None = None
    structure: float = 0.0
    layers: tuple[LayerCost, ...] = ()
    graphs: tuple[PartCost, ...] = ()
    slices: tuple[Slice, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def worst(self) -> tuple[LayerCost, ...]:
        """Layers from the one to blame most to the one to blame least."""
        return tuple(sorted(self.layers, key=lambda each: (-each.restored, -each.alone, each.name)))

    @property
    def in_words(self) -> str:
        """The texts that changed, and the divergence."""
        texts = "" if self.changes is None else f"{self.changes.in_words}; "
        return f"{texts}{self.divergence.mean:.3g} nats per {self.unit} on {len(self.clips)} clips"

    def row_of(self, layer: LayerCost) -> LayerPlan | None:
        """What the plan says of a layer."""
        rows = () if self.plan is None else self.plan.layers
        return next((row for row in rows if row.name == layer.name), None)

    def rows(self) -> list[dict[str, Any]]:
        """One row per layer, the worst first, for ``pandas.DataFrame``."""
        found = []
        for cost in self.worst:
            row = self.row_of(cost)
            said: Mapping[str, Any] = {} if row is None else row.to_row()
            found.append({**said, **asdict(cost)})
        return found

    def to_dict(self) -> dict[str, Any]:
        """The ``quantkit.explanation/1`` object."""
        return {
            "schema": EXPLANATION_SCHEMA,
            "quantkit": __version__,
            "float_model": str(self.float_model),
            "quantized": str(self.quantized),
            "unit": self.unit,
            "divergence": self.divergence.mean,
            "interval": self.divergence.interval,
            "changes": None if self.changes is None else self.changes.to_json(),
            "simulated": None if self.simulated is None else self.simulated.mean,
            "structure": self.structure,
            "graphs": [asdict(part) for part in self.graphs],
            "layers": self.rows(),
            "remedies": [asdict(each) for each in self.remedies],
            "slices": [each.to_json() for each in self.slices],
            "clips": [each.to_json() for each in self.clips],
            "warnings": list(self.warnings),
        }
