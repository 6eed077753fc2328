"""Latency of each layer on one host, and the predicted latency of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from quantkit.disk.files import read_json, write_json
from quantkit.errors import FormatError, InputError
from quantkit.graph.plan import COMPUTES, Compute, LayerPlan, Plan, Structure
from quantkit.json_fields import Fields, Range
from quantkit.structure.layers import FIRST, WITHIN, Splittable

LAYER_TIMES_SCHEMA = "quantkit.layer-times/1"

#: Share of a processor above which other programs hardly disturb a measurement.
UNDISTURBED = 0.9

#: By kernel; see :func:`kernel_name`.
Milliseconds = Mapping[str, float]

# Static kernels for fewer bits.
_FEWER_BITS = tuple(f"static/{bits}" for bits in range(1, 8))


def kernel_name(compute: Compute, activation_bits: int = 8) -> str:
    """What times call a kernel: its compute, or such as ``static/7`` for fewer bits of input.

    >>> kernel_name("static", 7)
    'static/7'
    """
    fewer = compute == "static" and activation_bits < 8
    return f"{compute}/{activation_bits}" if fewer else compute


def kernel_milliseconds(times: Milliseconds, kernel: str) -> float:
    """Of one layer, whose input of few bits makes no difference where no times are known for it.

    Without a kernel of that compute, it has the float one.
    """
    compute = kernel.partition("/")[0]
    return next(times[each] for each in (kernel, compute, "float32") if each in times)


@dataclass(frozen=True)
class LayerTimes:
    """Latency of one model per run on one host, layer by layer.

    All times are in milliseconds: processor time of one thread, wall time of several. Decoders are
    folded at load time, so that times depend on the compute of a layer and not on its codec.

    Args:
        model_sha256: of the float model.
        host: name of the processor.
        onnxruntime: version.
        threads: inside one operator.
        clip_seconds: length of the clip that was run; 0 if unknown.
        runs: behind each median.
        layers: time of the layer's own kernels, by layer and kernel. A compute that the layer
            cannot have is missing. Fewer bits of its input are there only where they let it be
            computed in another way, with what that takes around the layer.
        whole: time of the model by compute, with that compute for every layer that can have it.
        processor_share: share of the measuring time in which a measuring thread had a processor.
            Well below 1, other programs were running and the times of single layers are imprecise.
            1 if several threads ran.
        reference_ms: of the float32 file as it is, in the same runs; 0 if it was not run.
    """

    model_sha256: str
    host: str
    onnxruntime: str
    threads: int
    clip_seconds: float
    runs: int
    layers: Mapping[str, Milliseconds]
    whole: Mapping[Compute, float]
    processor_share: float = 1.0
    reference_ms: float = 0.0

    def other(self, compute: Compute) -> float:
        """Time outside the layers' kernels if all layers that can have ``compute``."""
        own = (kernel_milliseconds(times, compute) for times in self.layers.values())
        return max(0.0, self.whole[compute] - sum(own))

    def milliseconds(self, layer: str, compute: Compute, activation_bits: int = 8) -> float:
        """Time of ``layer`` in a run: its kernels, and an equal share of :meth:`other`.

        The time of operators between layers, such as masks and activation functions, depends on the
        compute of the neighbouring layers, so each layer gets a share of it. The sum over all
        layers is linear in the choices.

        Raises:
            InputError: there is no such layer, or it was not timed with this compute.
        """
        times = self.layers.get(layer)
        if times is None:
            raise InputError(f"layer {layer} was not timed; measure the layers of this model")
        if compute not in times:
            raise InputError(
                f"layer {layer} was not timed with compute {compute}, only with {', '.join(times)}"
            )
        own = kernel_milliseconds(times, kernel_name(compute, activation_bits))
        return own + self.other(compute) / len(self.layers)

    def predicted(self, plan: Plan) -> float:
        """Predicted milliseconds per run of the model that ``plan`` describes.

        Nodes that convert between different computes of two layers are not included.

        Raises:
            FormatError: the plan is for another model.
            InputError: see :meth:`milliseconds`.
        """
        if plan.model_sha256:
            self.require_model(plan.model_sha256)
        return sum(self.milliseconds(row.name, *timed_as(row)) for row in plan.layers)

    def scaled(self, factor: float) -> LayerTimes:
        """All times multiplied by ``factor``."""

        return replace(
            self,
            layers={name: _times_as_long(times, factor) for name, times in self.layers.items()},
            whole={compute: factor * each for compute, each in self.whole.items()},
            reference_ms=factor * self.reference_ms,
        )

    def require_model(self, model_sha256: str) -> None:
        """Refuse any model other than the timed one.

        Raises:
            FormatError: it is another model.
        """
        if model_sha256 != self.model_sha256:
            raise FormatError(
                f"the layer times are of the model with SHA-256 {self.model_sha256[:12]}…, not of "
                f"this one ({model_sha256[:12]}…); measure this one"
            )

    @property
    def disturbed(self) -> bool:
        """Whether other programs used the processor, which makes the measured times too long."""
        return self.processor_share < UNDISTURBED

    @property
    def disturbance(self) -> str:
        """The same as a warning."""
        return (
            f"while the layers were timed, other programs took {1 - self.processor_share:.0%} of "
            "the processor: the times are too long, and rough"
        )

    def to_json(self) -> dict[str, Any]:
        """The ``quantkit.layer-times/1`` object."""
        document = {"schema": LAYER_TIMES_SCHEMA, **asdict(self)}
        if not self.reference_ms:
            del document["reference_ms"]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LayerTimes:
        """Read :meth:`to_json` back.

        Raises:
            FormatError: another schema, or a field that is missing or wrong.
        """
        if document.get("schema") != LAYER_TIMES_SCHEMA:
            raise FormatError(
                f"schema {document.get('schema')!r} instead of {LAYER_TIMES_SCHEMA!r}"
            )
        found = Fields(document, "the layer times")
        layers = found.child("layers")
        return cls(
            model_sha256=found.text("model_sha256"),
            host=found.text("host"),
            onnxruntime=found.text("onnxruntime"),
            threads=found.whole("threads", limits=Range(0)),
            clip_seconds=found.number("clip_seconds", limits=Range(0)),
            runs=found.whole("runs", limits=Range(0)),
            layers={name: _times(layers.child(name)) for name in layers.names()},
            whole=_wholes(found.child("whole")),
            processor_share=found.number("processor_share", limits=Range(0)),
            reference_ms=found.number("reference_ms", limits=Range(0))
            if found.has("reference_ms")
            else 0.0,
        )


@dataclass(frozen=True)
class RankTimes:
    """Latency of one model and of the same with its layers split in two, for any ranks.

    Args:
        whole: of the model with no layer split.
        split: ranks of the outputs, and the times with these; at least two, all of the same layers,
            in ascending order.
        layers: those, as they are when whole.
    """

    whole: LayerTimes
    split: tuple[tuple[Mapping[str, Structure], LayerTimes], ...]
    layers: Mapping[str, Splittable] = field(default_factory=dict)

    def of(self, structure: Mapping[str, Structure]) -> LayerTimes:
        """The times of the model with the layers in ``structure`` split.

        A part's time is taken to be linear in the rank of the outputs between two measured ranks,
        and beyond them, and proportional to the channels that it reads. A first part takes as long
        as a last one with as many channels to multiply. The time outside of the layers' kernels
        grows with the number of layers.

        Raises:
            InputError: a layer was not timed split.
        """
        layers: dict[str, Milliseconds] = {}
        for name, times in self.whole.layers.items():
            ranks = structure.get(name)
            layers |= {name: times} if ranks is None else self._parts(name, ranks)
        added = len(layers) - len(self.whole.layers)
        whole = {}
        for compute in self.whole.whole:
            other = self.whole.other(compute) + added * self._of_one_more(compute)
            own = (kernel_milliseconds(times, compute) for times in layers.values())
            whole[compute] = other + sum(own)
        return replace(self.whole, layers=layers, whole=whole)

    def of_parts(
        self, name: str, ranks: Structure, compute: Compute, activation_bits: int = 8
    ) -> float:
        """Milliseconds of all parts of one layer, of what lies around it, and of what they add.

        Raises:
            InputError: see :meth:`of`.
        """
        parts = self._parts(name, ranks)
        around = self.whole.other(compute) / len(self.whole.layers)
        kernel = kernel_name(compute, activation_bits)
        own = sum(kernel_milliseconds(times, kernel) for times in parts.values())
        return own + around + (len(parts) - 1) * self._of_one_more(compute)

    def _of_one_more(self, compute: Compute) -> float:
        """What one more layer takes outside of its kernels."""
        if not self.split:
            return 0.0
        others = [each.other(compute) for _, each in self.split]
        more = sum(others) / len(others) - self.whole.other(compute)
        return max(0.0, more) / max(1, len(self.layers))

    def _parts(self, name: str, ranks: Structure) -> dict[str, Milliseconds]:
        layer = self.layers.get(name)
        if layer is None or len(self.split) < 2:
            raise InputError(f"layer {name} was not timed with lower ranks; measure them")
        within, first = name + WITHIN, name + FIRST
        found = {within: self._at(name, within, ranks.outputs)} if ranks.outputs else {}
        last = self._at(name, name, ranks.outputs) if ranks.outputs else self.whole.layers[name]
        found[name] = last
        if ranks.inputs:
            main = within if ranks.outputs else name
            found[main] = _times_as_long(found[main], ranks.inputs / layer.channels)
            alike = self._at(name, name, ranks.inputs)
            found = {first: _times_as_long(alike, layer.channels / layer.outputs), **found}
        return found

    def _at(self, layer: str, part: str, rank: int) -> Milliseconds:
        """Of a part of the layer without fewer inputs."""
        known = [(ranks[layer].outputs, times.layers[part]) for ranks, times in self.split]
        higher = next((i for i, (r, _) in enumerate(known) if r >= rank), len(known) - 1)
        (low, before), (high, after) = known[max(0, higher - 1)], known[max(1, higher)]
        share = (rank - low) / (high - low)
        return {
            kernel: max(
                before[kernel] * min(1.0, rank / low),
                before[kernel] + share * (after[kernel] - before[kernel]),
            )
            for kernel in before
            if kernel in after
        }


def _times_as_long(times: Milliseconds, factor: float) -> Milliseconds:
    return {kernel: factor * each for kernel, each in times.items()}


def read_layer_times(path: Path) -> LayerTimes:
    """The times in a JSON file.

    Raises:
        FormatError: not JSON, or no such times.
    """
    document = read_json(path, schema=LAYER_TIMES_SCHEMA)
    try:
        return LayerTimes.from_json(document)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def write_layer_times(times: LayerTimes, path: Path) -> None:
    """Write the times as JSON."""
    write_json(path, times.to_json())


def timed_as(row: LayerPlan) -> tuple[Compute, int]:
    """The compute, and bits of the input, whose time applies to a layer.

    Static grids finer than integer kernels support are computed by the float kernel.
    """
    emulated = row.activation_bits == 16 or row.codec == "int16"
    if row.compute == "static" and emulated:
        return "float32", 8
    return row.compute, row.activation_bits or 8


def _times(row: Fields) -> dict[str, float]:
    names = (*COMPUTES, *_FEWER_BITS)
    row.only(names)
    row.value("float32")
    return {name: row.number(name, limits=Range(0)) for name in names if row.has(name)}


def _wholes(row: Fields) -> dict[Compute, float]:
    row.only(COMPUTES)
    row.value("float32")
    return {name: row.number(name, limits=Range(0)) for name in COMPUTES if row.has(name)}
