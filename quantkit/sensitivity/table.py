"""The table of sensitivities: layers by metric, and how far each candidate moves the posteriors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnxruntime

from quantkit.codecs.catalogue import CodecChoice
from quantkit.disk.files import read_json, write_json
from quantkit.errors import FormatError, InputError
from quantkit.graph.plan import COMPUTES, Compute
from quantkit.json_fields import Fields, Range
from quantkit.version import __version__

SENSITIVITY_SCHEMA = "quantkit.sensitivity/1"

# A difference of logarithms that are rounded may come out a little below zero, and a model whose
# numbers overflow is infinitely far away.
_ERROR = Range(-1e-6)
_NOISE = Range(0)


@dataclass(frozen=True)
class WeightDivergence:
    """What storing the weight of one layer with one codec does, all else being float32.

    Args:
        codec: with its bits and options.
        divergence: of the posteriors, in nats per frame; see
            :mod:`quantkit.sensitivity.posteriors`.
        noise: power of the error of the layer's output over that of the output itself.
        measured: else it was interpolated between measured candidates of like noise.
    """

    codec: CodecChoice
    divergence: float
    noise: float
    measured: bool = True

    def to_json(self) -> dict[str, Any]:
        """The JSON form of the file."""
        return {
            "codec": str(self.codec),
            "divergence": self.divergence,
            "noise": self.noise,
            **({} if self.measured else {"measured": False}),
        }

    @classmethod
    def from_json(cls, row: Fields) -> WeightDivergence:
        """Read :meth:`to_json` back.

        Raises:
            FormatError: a field is missing or wrong.
        """
        try:
            codec = CodecChoice.parse(row.text("codec"))
        except InputError as error:
            raise FormatError(f"{row.where}: {error}") from error
        return cls(
            codec,
            row.number("divergence", limits=_ERROR, finite=False),
            row.number("noise", limits=_NOISE, finite=False),
            row.flag("measured", default=True),
        )


@dataclass(frozen=True)
class ActivationDivergence:
    """What rounding the input of one layer does, all else being float32.

    Args:
        compute: ``static`` for a calibrated grid, ``dynamic`` for one found clip by clip.
        bits: of the grid.
        divergence, noise: see :class:`WeightDivergence`.
        weights: what codecs do whose levels fit the kernel for so few bits, which adds up weights
            before it multiplies; see :mod:`quantkit.quantization.kernels.fast_fir`. None: as with
            any other kernel.
    """

    compute: Compute
    bits: int
    divergence: float
    noise: float
    weights: tuple[WeightDivergence, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON form of the file."""
        return {
            "compute": self.compute,
            "bits": self.bits,
            "divergence": self.divergence,
            "noise": self.noise,
            **({} if self.weights is None else {"weights": [w.to_json() for w in self.weights]}),
        }

    @classmethod
    def from_json(cls, row: Fields) -> ActivationDivergence:
        """Read :meth:`to_json` back.

        Raises:
            FormatError: a field is missing or wrong.
        """
        return cls(
            row.choice("compute", COMPUTES),
            row.whole("bits", limits=Range(1)),
            row.number("divergence", limits=_ERROR, finite=False),
            row.number("noise", limits=_NOISE, finite=False),
            tuple(map(WeightDivergence.from_json, row.children("weights")))
            if row.has("weights")
            else None,
        )


@dataclass(frozen=True)
class RankDivergence:
    """What fewer channels in one layer do, all else being float32.

    Args:
        rank: channels between its parts, or those that it makes; see :mod:`quantkit.structure`.
        divergence, noise: see :class:`WeightDivergence`.
    """

    rank: int
    divergence: float
    noise: float

    def to_json(self) -> dict[str, Any]:
        """The JSON form of the file."""
        return {"rank": self.rank, "divergence": self.divergence, "noise": self.noise}

    @classmethod
    def from_json(cls, row: Fields) -> RankDivergence:
        """Read :meth:`to_json` back.

        Raises:
            FormatError: a field is missing or wrong.
        """
        return cls(
            row.whole("rank", limits=Range(0)),
            row.number("divergence", limits=_ERROR, finite=False),
            row.number("noise", limits=_NOISE, finite=False),
        )


_STRUCTURE = ("ranks", "input_ranks", "channels", "mean")


@dataclass(frozen=True)
class LayerSensitivity:
    """One layer's row.

    Args:
        name, op, shape, parameters: see :class:`~quantkit.graph.layers.Layer`.
        metrics: by name; see :mod:`quantkit.sensitivity.metrics`.
        weights: one entry per candidate codec; empty if divergence was not requested.
        activations: one entry per grid of the layer's input.
        ranks: one entry per rank of the outputs worth trying, from the smallest; empty if not
            requested, or if the layer cannot be split.
        input_ranks: the same of the inputs.
        channels: one entry per number of channels worth making; empty if not requested, or if not
            one layer alone reads them.
        mean: one entry, of rank 0, for the mean of its output alone; empty if not requested, or if
            it ends no branch.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    parameters: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    weights: tuple[WeightDivergence, ...] = ()
    activations: tuple[ActivationDivergence, ...] = ()
    ranks: tuple[RankDivergence, ...] = ()
    input_ranks: tuple[RankDivergence, ...] = ()
    channels: tuple[RankDivergence, ...] = ()
    mean: tuple[RankDivergence, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON form of the file."""
        return {
            "name": self.name,
            "op": self.op,
            "shape": list(self.shape),
            "parameters": self.parameters,
            "metrics": dict(self.metrics),
            "weights": [each.to_json() for each in self.weights],
            "activations": [each.to_json() for each in self.activations],
            **{
                key: [each.to_json() for each in found]
                for key in _STRUCTURE
                if (found := getattr(self, key))
            },
        }

    @classmethod
    def from_json(cls, row: Fields) -> LayerSensitivity:
        """Read :meth:`to_json` back.

        Raises:
            FormatError: a field is missing or wrong.
        """
        return cls(
            name=row.text("name"),
            op=row.text("op"),
            shape=row.wholes("shape", Range(0)),
            parameters=row.whole("parameters", limits=Range(0)),
            # Who decides by a metric refuses values that are not finite, and names another one.
            metrics=row.numbers("metrics", finite=False),
            weights=tuple(map(WeightDivergence.from_json, row.children("weights"))),
            activations=tuple(map(ActivationDivergence.from_json, row.children("activations"))),
            **{
                key: tuple(map(RankDivergence.from_json, row.children(key)))
                for key in _STRUCTURE
                if row.has(key)
            },
        )


@dataclass(frozen=True)
class Sensitivity:
    """What was learned about one model from some unlabelled audio.

    Args:
        model_sha256: of the float ``.onnx``.
        audio_sha256: of the clips; see :meth:`quantkit.calibration.data.CalibrationData.digest`.
        clips, seconds: how much that was.
        settings: the requested analysis, for the record.
        layers: in graph order.
    """

    model_sha256: str
    audio_sha256: str
    clips: int
    seconds: float
    settings: Mapping[str, Any]
    layers: tuple[LayerSensitivity, ...]

    def layer(self, name: str) -> LayerSensitivity:
        """The row of that layer.

        Raises:
            InputError: there is none.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise InputError(f"the sensitivity table has no layer {name}")

    @property
    def codecs(self) -> tuple[CodecChoice, ...]:
        """All that were tried, in the order of the table."""
        tried = (weight.codec for layer in self.layers for weight in layer.weights)
        return tuple({str(codec): codec for codec in tried}.values())

    def require_model(self, model_sha256: str) -> None:
        """Refuse any model but the one that the table is for.

        Raises:
            FormatError: it is another one.
        """
        if model_sha256 != self.model_sha256:
            raise FormatError(
                f"the sensitivity table is for the model with SHA-256 {self.model_sha256[:12]}…, "
                f"not for this one ({model_sha256[:12]}…); analyze this one"
            )

    def to_json(self) -> dict[str, Any]:
        """The ``quantkit.sensitivity/1`` object."""
        return {
            "schema": SENSITIVITY_SCHEMA,
            "quantkit": __version__,
            "onnxruntime": onnxruntime.__version__,
            "model_sha256": self.model_sha256,
            "audio_sha256": self.audio_sha256,
            "clips": self.clips,
            "seconds": self.seconds,
            "settings": dict(self.settings),
            "layers": [layer.to_json() for layer in self.layers],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Sensitivity:
        """Read :meth:`to_json` back.

        Raises:
            FormatError: another schema, or a field that is missing or wrong.
        """
        if document.get("schema") != SENSITIVITY_SCHEMA:
            raise FormatError(
                f"schema {document.get('schema')!r} instead of {SENSITIVITY_SCHEMA!r}"
            )
        found = Fields(document, "the sensitivity table")
        layers = tuple(map(LayerSensitivity.from_json, found.children("layers")))
        times = Counter(layer.name for layer in layers)
        if twice := next((name for name in times if times[name] > 1), None):
            raise FormatError(f"layer {twice} stands in the sensitivity table twice")
        return cls(
            model_sha256=found.text("model_sha256"),
            audio_sha256=found.text("audio_sha256"),
            clips=found.whole("clips", limits=Range(0)),
            seconds=found.number("seconds", limits=Range(0)),
            settings=found.table("settings"),
            layers=layers,
        )


def read_sensitivity(path: Path) -> Sensitivity:
    """The table in a JSON file.

    Raises:
        FormatError: not JSON, or no such table.
    """
    document = read_json(path, schema=SENSITIVITY_SCHEMA)
    try:
        return Sensitivity.from_json(document)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def write_sensitivity(sensitivity: Sensitivity, path: Path) -> None:
    """Write the table for people, and for ``quantkit plan``."""
    write_json(path, sensitivity.to_json())
