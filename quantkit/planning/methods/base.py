"""The interface of planning methods: request and result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

from quantkit.graph.plan import Plan
from quantkit.planning.methods.ordering import MEDIAN, metric_values
from quantkit.planning.methods.precisions import ActivationBits, Precisions
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.table import Sensitivity


@dataclass(frozen=True)
class PlanRequest:
    """The request to a planning method.

    Args:
        model: the float model.
        budget_bytes: what its file may take.
        settings: compute, exclusions and rules; their codec is set by the method.
        sensitivity: table about the model; None where the method reads none.
        codec: name of the codec for fewer than 8 bits.
        activation_bits: see :data:`~quantkit.planning.methods.precisions.ActivationBits`.
        fitting: what the plan says about how its numbers are found.
    """

    model: PreparedModel
    budget_bytes: int
    settings: QuantizeSettings
    sensitivity: Sensitivity | None = None
    codec: str = "bitplane"
    activation_bits: ActivationBits = None
    fitting: PtqSettings | None = None

    @cached_property
    def precisions(self) -> Precisions:
        """The layers that a method may decide about, and what each number of bits means.

        Raises:
            InputError, ModelError: see :class:`~quantkit.planning.methods.precisions.Precisions`.
        """
        return Precisions(self.model, self.settings, self.codec, self.activation_bits)

    def metric(self, name: str) -> dict[str, float]:
        """A metric of the sensitivity table, by the names of :attr:`precisions`.

        Raises:
            InputError: there is no table, or it lacks a layer, the metric, or a finite value.
            FormatError: the table is for another model.
        """
        layers = self.precisions.names
        return metric_values(self.sensitivity, self.precisions.model_sha256, layers, name)

    def describe(self, method: str, metric: str = MEDIAN) -> str:
        """A plan's method, with what is not usual about metric and activations."""
        if metric != MEDIAN:
            method += f" by {metric}"
        if self.activation_bits == "weights":
            method += ", activations as weights"
        return method


class Method(Protocol):
    """A way to decide which layer gets how many bits.

    A frozen dataclass whose fields are the method's own options, each with a default.
    """

    #: As on the command line and at the beginning of a plan's ``method``.
    name: ClassVar[str]
    #: One line for help texts.
    description: ClassVar[str]

    @property
    def metric(self) -> str | None:
        """What it reads of the sensitivity table; None where it needs no table."""

    def plan(self, request: PlanRequest) -> Plan:
        """A plan whose file takes at most the budget.

        Raises:
            InputError: not even the fewest bits fit, and the message says what would; or an
                option has a value that does not exist.
            FormatError: the sensitivity table is for another model.
            ModelError: see :func:`~quantkit.quantization.quantize_model`.
        """
