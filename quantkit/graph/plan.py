"""What happens to each layer: the rows of a plan, and the JSON that an artifact carries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Compute = Literal["float32", "dynamic", "static"]

PLAN_SCHEMA = "quantkit.plan/1"


@dataclass(frozen=True)
class LayerPlan:
    """The decision for one layer: storage, compute and range are independent of each other.

    Args:
        name: node name of the layer.
        op: its operator in the float model, such as ``Conv``.
        shape: shape of its weight in the float model.
        codec: how the weight is stored: ``float32``, ``int8`` or ``uint8``.
        bits: per weight, as stored.
        compute: ``float32``; ``dynamic``, int8 with an activation range found at run time; or
            ``static``, int8 with a calibrated range.
        activation_bits: 8 where the kernel runs on integers, else 32.
        range: where the activation range comes from, ``none`` for float layers.
        bytes: what weight, scales and bias take in the file.
        note: why the layer is not what was asked for; empty when it is.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    codec: str
    bits: int
    compute: Compute
    activation_bits: int
    range: str
    bytes: int
    note: str = ""

    def to_row(self) -> dict[str, Any]:
        """The row as it stands in ``quantkit.plan``."""
        row = asdict(self) | {"shape": list(self.shape)}
        if not self.note:
            del row["note"]
        return row


def plan_json(
    layers: Iterable[LayerPlan], *, model_sha256: str, method: str, budget_bytes: int | None = None
) -> dict[str, Any]:
    """The ``quantkit.plan/1`` object of these layers."""
    rows = list(layers)
    return {
        "schema": PLAN_SCHEMA,
        "model_sha256": model_sha256,
        "budget_bytes": budget_bytes,
        "predicted_bytes": sum(row.bytes for row in rows),
        "method": method,
        "layers": [row.to_row() for row in rows],
    }
