"""What lies in a model file, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from quantkit.errors import ModelError
from quantkit.graph.artifact import load_model, total_size
from quantkit.graph.info import checked_plan, info_of
from quantkit.graph.integrity import stored_checksum
from quantkit.graph.plan import LayerPlan, Structure, structure_in_words, structure_json
from quantkit.graph.provenance import Provenance, provenance_of
from quantkit.quantization.choices.target_cpu import UNRESTRICTED
from quantkit.quantization.storage import StoredLayer, stored_layers
from quantkit.runtime.hosts import Hosts, hosts_of
from quantkit.runtime.lint import LintReport, lint_model
from quantkit.runtime.load_memory import LoadMemory, load_memory
from quantkit.runtime.streaming.settings import chunk_times
from quantkit.runtime.unpacking import UNPACKED_KEY

_INTEGER_OPERATORS = {
    "ConvInteger": "dynamic",
    "MatMulInteger": "dynamic",
    "DynamicQuantizeMatMul": "dynamic",
    "DynamicQuantizeLSTM": "dynamic",
    "QLinearConv": "static",
    "QLinearMatMul": "static",
    "QGemm": "static",
}


@dataclass(frozen=True)
class InspectedLayer:
    """One layer of a file.

    Args:
        name: of the layer.
        op: its operator: in the float model where the file carries a plan, else in the file.
        shape: of its weight, likewise.
        codec: how the weight is stored.
        bits: per weight, as planned; 1.6 for ternary.
        compute: ``float32``, ``dynamic`` or ``static``.
        bytes: that weight, scales, zero points and bias really take in the file.
        kernel: that ONNX Runtime runs; empty unless requested.
        status, folded: see :class:`~quantkit.runtime.lint.LintRow`; likewise.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    codec: str
    bits: float
    compute: str
    bytes: int
    kernel: str = ""
    status: str = ""
    folded: bool | None = None

    @property
    def stored_bits(self) -> float:
        """Bits in the file for each weight: its share of scales, tables and bias included."""
        return 8 * self.bytes / max(1, math.prod(self.shape))

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        stored_bits = round(self.stored_bits, 4)
        return asdict(self) | {"shape": list(self.shape), "stored_bits": stored_bits}


@dataclass(frozen=True)
class Inspection:
    """A model file.

    Args:
        path: of the ``.onnx``.
        layers: in graph order.
        size_bytes: of the file with its external files.
        method: what made the plan, such as ``static-int8``; empty without a plan.
        model_sha256: of the model that it was made from; empty without a plan.
        target_cpu: the processors that it was made for; empty without a plan.
        hosts: on which processors its integer sums are exact; None where ONNX Runtime does not
            load it.
        structure: of the layers that are split, or make fewer channels, by name.
        checksum: the SHA-256 that the file carries and that its content has; empty for a file
            without one, which quantkit did not write.
        unpacked_from: checksum of the packed file that ``unpack`` made it from; empty for others.
        load: memory that opening it takes, foretold.
        chunk_seconds: of audio from one chunk to the next, of a model that hears in chunks; 0 for
            whole clips.
        look_ahead_seconds: of audio that is heard behind a row, beside the rest of its chunk.
        provenance: audio and versions of libraries that it was made with; None where it says none.
    """

    path: Path
    layers: tuple[InspectedLayer, ...]
    size_bytes: int
    load: LoadMemory
    method: str = ""
    model_sha256: str = ""
    target_cpu: str = ""
    hosts: Hosts | None = None
    structure: Mapping[str, Structure] = field(default_factory=dict)
    checksum: str = ""
    unpacked_from: str = ""
    chunk_seconds: float = 0.0
    look_ahead_seconds: float = 0.0
    provenance: Provenance | None = None

    @property
    def layer_bytes(self) -> int:
        """What all layers take."""
        return sum(layer.bytes for layer in self.layers)

    @property
    def structure_in_words(self) -> tuple[str, ...]:
        """A line for each kind of :attr:`structure`; none without any."""
        return structure_in_words(self.structure)

    @property
    def other_bytes(self) -> int:
        """Graph, metadata, and constants that belong to no layer."""
        return self.size_bytes - self.layer_bytes

    def to_json(self) -> dict[str, Any]:
        """For programs: ``quantkit inspect --json``."""
        chunks = {
            "chunk_seconds": self.chunk_seconds,
            "look_ahead_seconds": self.look_ahead_seconds,
        }
        return {
            "path": str(self.path),
            **(chunks if self.chunk_seconds else {}),
            "method": self.method,
            "model_sha256": self.model_sha256,
            "provenance": None if self.provenance is None else self.provenance.to_dict(),
            "target_cpu": self.target_cpu,
            "hosts": None if self.hosts is None else self.hosts.to_json(),
            "structure": structure_json(self.structure),
            "checksum": self.checksum,
            "unpacked_from": self.unpacked_from,
            "size_bytes": self.size_bytes,
            "layer_bytes": self.layer_bytes,
            "other_bytes": self.other_bytes,
            "load_memory": self.load.to_json(),
            "layers": self.rows(),
        }

    def to_dict(self) -> dict[str, Any]:
        """As :meth:`to_json`."""
        return self.to_json()

    def rows(self) -> list[dict[str, Any]]:
        """One row per layer, for ``pandas.DataFrame``."""
        return [layer.to_json() for layer in self.layers]


def inspect_model(path: Path, *, runtime: bool = False) -> Inspection:
    """Read ``path``; with ``runtime``, also load it in ONNX Runtime to see which kernels run.

    Raises:
        ModelError: the file is damaged, a field of its plan is, its metadata is another model's, or
            ONNX Runtime does not load it.
    """
    model = load_model(path)
    info = info_of(model, str(path))
    plan = checked_plan(info, str(path))
    unpacked_from = info.extra.get(UNPACKED_KEY.removeprefix("quantkit."), "")
    rows = {row.name: row for row in plan.layers} if plan is not None else {}
    layers = stored_layers(model)
    del model
    lint = lint_model(path) if runtime else None
    chunk_seconds, look_ahead_seconds = chunk_times(info)
    return Inspection(
        path=path,
        layers=tuple(
            _inspected(layer, rows.get(layer.name), lint, unpacked=bool(unpacked_from))
            for layer in layers
        ),
        size_bytes=total_size(path),
        load=load_memory(path),
        method=plan.method if plan is not None else "",
        model_sha256=info.model_sha256,
        target_cpu=str(plan.fitting.get("target_cpu") or UNRESTRICTED) if plan is not None else "",
        hosts=_hosts(path),
        structure=plan.structure if plan is not None else {},
        checksum=stored_checksum(path),
        unpacked_from=unpacked_from,
        chunk_seconds=chunk_seconds,
        look_ahead_seconds=look_ahead_seconds,
        provenance=provenance_of(info, str(path)),
    )


def _hosts(path: Path) -> Hosts | None:
    try:
        return hosts_of(path)
    except ModelError:
        # What lies in the file can be shown all the same.
        return None


def _inspected(
    layer: StoredLayer,
    planned: LayerPlan | None,
    lint: LintReport | None,
    *,
    unpacked: bool,
) -> InspectedLayer:
    row = next((r for r in lint.rows if r.name == layer.name), None) if lint else None
    guess = "float32" if layer.codec == "float32" else "static"
    return InspectedLayer(
        name=layer.name,
        op=planned.op if planned else layer.op,
        shape=planned.shape if planned else layer.shape,
        codec=planned.codec if planned and not unpacked else layer.codec,
        bits=planned.bits if planned and not unpacked else layer.bits,
        compute=planned.compute if planned else _INTEGER_OPERATORS.get(layer.op, guess),
        bytes=layer.bytes,
        kernel=row.kernel if row else "",
        status=row.status if row else "",
        folded=row.folded if row else None,
    )
