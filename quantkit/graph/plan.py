"""What happens to each layer: the rows of a plan, and the JSON that files and artifacts carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from quantkit.errors import FormatError
from quantkit.files import read_json, write_json

Compute = Literal["float32", "dynamic", "static", "matmul-nbits"]
COMPUTES: tuple[Compute, ...] = get_args(Compute)

PLAN_SCHEMA = "quantkit.plan/1"


@dataclass(frozen=True)
class LayerPlan:
    """The decision for one layer: storage, compute and range are independent of each other.

    Args:
        name: node name of the layer.
        op: its operator in the float model, such as ``Conv``.
        shape: shape of its weight in the float model.
        codec: how the weight is stored, such as ``float32``, ``int8`` or ``bitplane``.
        bits: per weight, as stored; 1.6 for ternary.
        compute: ``float32``; ``dynamic``, int8 with an activation range found at run time;
            ``static``, int8 with a calibrated range; or ``matmul-nbits``, ONNX Runtime's kernel
            for float activations and packed weights.
        activation_bits: of the integer grid that the layer's input lies on, 32 for none.
        range: where the activation range comes from, ``none`` for float layers.
        bytes: what weight, scales and bias take in the file.
        options: settings of the codec that are not its defaults.
        note: why the layer is not what was asked for; empty when it is.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    codec: str
    bits: float
    compute: Compute
    activation_bits: int
    range: str
    bytes: int
    options: Mapping[str, int | str] = field(default_factory=dict)
    note: str = ""

    def to_row(self) -> dict[str, Any]:
        """The row as it stands in the JSON."""
        row = {each.name: getattr(self, each.name) for each in fields(self)}
        row["shape"] = list(self.shape)
        row["options"] = dict(self.options)
        return {key: value for key, value in row.items() if value or key not in _OPTIONAL}

    @classmethod
    def from_row(cls, row: Any) -> LayerPlan:
        """Read a row back.

        Raises:
            FormatError: a field is missing, unknown, or of the wrong type.
        """
        if not isinstance(row, dict):
            raise FormatError("a layer of the plan is not a JSON object")
        name = row.get("name", "without a name")
        known = {each.name for each in fields(cls)}
        if unknown := sorted(row.keys() - known):
            raise FormatError(f"layer {name}: unknown field {unknown[0]!r}")
        values = {"bytes": 0, "activation_bits": 8, "range": "none", **_OPTIONAL, **row}
        if missing := sorted(known - values.keys()):
            raise FormatError(f"layer {name}: its {missing[0]} is missing")
        for key, kind in _TYPES.items():
            if not isinstance(values[key], kind) or isinstance(values[key], bool):
                raise FormatError(f"layer {name}: its {key} cannot be {values[key]!r}")
        if values["compute"] not in COMPUTES:
            raise FormatError(
                f"layer {name}: unknown compute {values['compute']!r}; choose one of "
                f"{', '.join(COMPUTES)}"
            )
        if not all(isinstance(size, int) and size >= 0 for size in values["shape"]):
            raise FormatError(f"layer {name}: its shape cannot be {values['shape']!r}")
        values["shape"] = tuple(values["shape"])
        return cls(**values)


_OPTIONAL: dict[str, Any] = {"options": {}, "note": ""}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "op": str,
    "shape": list,
    "codec": str,
    "bits": (int, float),
    "compute": str,
    "activation_bits": int,
    "range": str,
    "bytes": int,
    "options": dict,
    "note": str,
}


@dataclass(frozen=True)
class Plan:
    """The decisions for all layers of one model.

    Args:
        layers: in graph order.
        model_sha256: of the float ``.onnx`` that the plan is for.
        method: what made it, such as ``uniform`` or a preset's name.
        budget_bytes: what the file may take; None where nobody asked.
        predicted_bytes: what the file will take, its external files included; None where that
            was not computed.
        target_runtime: the oldest ONNX Runtime that must load the file; empty for the newest.
        fitting: how the numbers are found; see
            :class:`quantkit.quantization.choices.fitting.Fitting`. Empty where that is not said.
    """

    layers: tuple[LayerPlan, ...]
    model_sha256: str
    method: str
    budget_bytes: int | None = None
    predicted_bytes: int | None = None
    target_runtime: str = ""
    fitting: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The ``quantkit.plan/1`` object."""
        return {
            "schema": PLAN_SCHEMA,
            "model_sha256": self.model_sha256,
            "budget_bytes": self.budget_bytes,
            "predicted_bytes": self.predicted_bytes,
            "method": self.method,
            **({"target_runtime": self.target_runtime} if self.target_runtime else {}),
            **({"fitting": dict(self.fitting)} if self.fitting else {}),
            "layers": [row.to_row() for row in self.layers],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Plan:
        """Read what :meth:`to_json` wrote, or a person edited.

        Raises:
            FormatError: a schema of another kind, or a field that is missing or wrong.
        """
        if document.get("schema") != PLAN_SCHEMA:
            raise FormatError(f"schema {document.get('schema')!r} instead of {PLAN_SCHEMA!r}")
        rows = document.get("layers")
        if not isinstance(rows, list) or not rows:
            raise FormatError("the plan has no layers")
        layers = tuple(LayerPlan.from_row(row) for row in rows)
        names = [layer.name for layer in layers]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise FormatError(f"layer {twice} stands in the plan twice")
        budget = document.get("budget_bytes")
        predicted = document.get("predicted_bytes")
        for key, value in (("budget_bytes", budget), ("predicted_bytes", predicted)):
            if value is not None and (not isinstance(value, int) or value < 0):
                raise FormatError(f"{key} cannot be {value!r}")
        fitting = document.get("fitting", {})
        if not isinstance(fitting, dict):
            raise FormatError(f"fitting cannot be {fitting!r}")
        return cls(
            layers=layers,
            model_sha256=str(document.get("model_sha256", "")),
            method=str(document.get("method", "manual")),
            budget_bytes=budget,
            predicted_bytes=predicted,
            target_runtime=str(document.get("target_runtime", "")),
            fitting=fitting,
        )


def read_plan(path: Path) -> Plan:
    """The plan in a JSON file.

    Raises:
        FormatError: not JSON, or not a plan.
    """
    document = read_json(path, schema=PLAN_SCHEMA)
    try:
        return Plan.from_json(document)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def write_plan(plan: Plan, path: Path) -> None:
    """Write ``plan`` for people and for ``quantkit quantize --plan``."""
    write_json(path, plan.to_json())
