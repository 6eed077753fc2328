"""What happens to each layer: the rows of a plan, and the JSON that files and artifacts carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from quantkit.disk.files import read_json, write_json
from quantkit.errors import FormatError
from quantkit.json_fields import Fields, Range

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
        note: why the choice is not the requested one; empty if it is.
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
        name = row.get("name", "without a name") if isinstance(row, dict) else "of the plan"
        found = Fields(row, f"layer {name}")
        found.only(each.name for each in fields(cls))
        found.number("bits", limits=Range(0, 64))
        return cls(
            name=found.text("name"),
            op=found.text("op"),
            shape=found.wholes("shape", Range(0)),
            codec=found.text("codec"),
            # A whole number stays one, so that the plan is written as it was read.
            bits=row["bits"],
            compute=found.choice("compute", COMPUTES),
            activation_bits=found.whole("activation_bits", default=8),
            range=found.text("range", default="none"),
            bytes=found.whole("bytes", default=0, limits=Range(0)),
            options=found.table("options", default={}),
            note=found.text("note", default=""),
        )


#: Fields that a row has only where they say something.
_OPTIONAL = ("options", "note")


@dataclass(frozen=True, order=True)
class Structure:
    """What becomes of a layer of the float model as a whole; see :mod:`quantkit.structure`.

    Args:
        outputs: rank of the outputs: channels before a last layer that makes the outputs of them; 0
            for none.
        inputs: likewise channels behind a first layer that makes them of the inputs; 0 for none.
        channels: that it makes, in place of all; 0 for all. Before a gated linear unit, in each
            half.
        mean: whether it makes the mean of what it computes alone, so that what only it needs goes:
            a layer of rank 0.
    """

    outputs: int = 0
    inputs: int = 0
    channels: int = 0
    mean: bool = False

    @property
    def is_split(self) -> bool:
        """Whether there are two layers or three."""
        return bool(self.outputs or self.inputs)

    @property
    def ranks(self) -> Structure:
        """The same with all channels."""
        return Structure(self.outputs, self.inputs)

    def __str__(self) -> str:
        if self.mean:
            return "its mean"
        ranks = f"{self.inputs} → {self.outputs}" if self.inputs else str(self.outputs)
        return ranks if not self.channels else self._with_channels(ranks)

    def _with_channels(self, ranks: str) -> str:
        made = f"{self.channels} channels"
        return f"{made}, {ranks}" if self.is_split else made


@dataclass(frozen=True)
class Plan:
    """The decisions for all layers of one model.

    Args:
        layers: in graph order.
        model_sha256: of the float ``.onnx`` that the plan is for.
        method: what made it, such as ``uniform`` or a preset's name.
        budget_bytes: largest allowed file size; None if not given.
        predicted_bytes: what the file will take, its external files included; None where that
            was not computed.
        target_runtime: the oldest ONNX Runtime that must load the file; empty for the newest.
        keep_interface: whether the file has the inputs and outputs of the ``.onnx`` that the model
            was adopted from; None: as is usual.
        fitting: how the numbers are found; see
            :class:`quantkit.quantization.choices.ptq.PtqSettings`. Empty if not recorded.
        structure: of the layers of the float model that are split or make fewer channels;
            ``layers`` has a row for each part.
    """

    layers: tuple[LayerPlan, ...]
    model_sha256: str
    method: str
    budget_bytes: int | None = None
    predicted_bytes: int | None = None
    target_runtime: str = ""
    keep_interface: bool | None = None
    fitting: Mapping[str, Any] = field(default_factory=dict)
    structure: Mapping[str, Structure] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The ``quantkit.plan/1`` object."""
        return {
            "schema": PLAN_SCHEMA,
            "model_sha256": self.model_sha256,
            "budget_bytes": self.budget_bytes,
            "predicted_bytes": self.predicted_bytes,
            "method": self.method,
            **({"target_runtime": self.target_runtime} if self.target_runtime else {}),
            **({} if self.keep_interface is None else {"keep_interface": self.keep_interface}),
            **({"fitting": dict(self.fitting)} if self.fitting else {}),
            **({"structure": structure_json(self.structure)} if self.structure else {}),
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
        found = Fields(document, "the plan")
        rows = found.items("layers") if found.has("layers") else []
        layers = tuple(LayerPlan.from_row(row) for row in rows)
        names = [layer.name for layer in layers]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise FormatError(f"layer {twice} stands in the plan twice")

        def size(key: str) -> int | None:
            return found.whole(key, limits=Range(0)) if found.has(key) else None

        return cls(
            layers=layers,
            model_sha256=found.text("model_sha256", default=""),
            method=found.text("method", default="manual"),
            budget_bytes=size("budget_bytes"),
            predicted_bytes=size("predicted_bytes"),
            target_runtime=found.text("target_runtime", default=""),
            keep_interface=(found.flag("keep_interface") if found.has("keep_interface") else None),
            fitting=found.table("fitting", default={}),
            structure=_structure(found) if found.has("structure") else {},
        )


#: Fields of one layer, in the order of :class:`Structure`'s.
_STRUCTURE = ("rank", "input_rank", "channels")


def structure_json(structure: Mapping[str, Structure]) -> dict[str, dict[str, int]]:
    """The field ``structure`` of a plan."""
    named = {
        name: {"rank": each.outputs, "input_rank": each.inputs, "channels": each.channels}
        for name, each in structure.items()
    }
    return {
        # A rank of 0 is the mean alone.
        name: {k: v for k, v in each.items() if v} or {"rank": 0}
        for name, each in named.items()
    }


def structure_in_words(structure: Mapping[str, Structure]) -> tuple[str, ...]:
    """What was done to layers as a whole: a line for each kind of it.

    >>> structure_in_words({"layer8": Structure(channels=144), "layer9": Structure(160, 96)})[1]
    'with so many of their channels: layer8 (144)'
    """
    split = [f"{name} ({each.ranks})" for name, each in structure.items() if each.is_split]
    fewer = [f"{name} ({each.channels})" for name, each in structure.items() if each.channels]
    means = [name for name, each in structure.items() if each.mean]
    lines = (
        ("split, with so many channels between the parts", split),
        ("with so many of their channels", fewer),
        ("that make their mean alone", means),
    )
    return tuple(f"{words}: {', '.join(layers)}" for words, layers in lines if layers)


def _structure(plan: Fields) -> dict[str, Structure]:
    layers = plan.child("structure")
    found = {}
    for name in layers.names():
        layer = layers.child(name)
        layer.only(_STRUCTURE)
        numbers = [layer.whole(key, limits=Range(0)) for key in _STRUCTURE if layer.has(key)]
        if numbers == [0] and layer.has("rank"):
            found[name] = Structure(mean=True)
            continue
        rank, input_rank, channels = (
            layer.whole(key, limits=Range(1)) if layer.has(key) else 0 for key in _STRUCTURE
        )
        found[name] = Structure(rank, input_rank, channels)
        if found[name] == Structure():
            raise FormatError(f"structure: layer {name} has none of {', '.join(_STRUCTURE)}")
    return found


def read_plan(path: Path) -> Plan:
    """The plan in a JSON file.

    Raises:
        FormatError: not JSON, not a plan, or one without layers.
    """
    document = read_json(path, schema=PLAN_SCHEMA)
    try:
        plan = Plan.from_json(document)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    if not plan.layers:
        raise FormatError(f"{path}: the plan has no layers")
    return plan


def write_plan(plan: Plan, path: Path) -> None:
    """Write ``plan`` for people and for ``quantkit quantize --plan``."""
    write_json(path, plan.to_json())
