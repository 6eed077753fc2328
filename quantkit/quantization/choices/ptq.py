"""How the numbers of a quantized file are found, once its size and its kernels are settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from quantkit.errors import FormatError, InputError
from quantkit.quantization.choices.target_cpu import TARGET_CPUS, UNRESTRICTED, TargetCpu

Rounding = Literal["nearest", "compensated"]
WeightRange = Literal["search", "min-max", "cosine", "hessian"]

ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)
WEIGHT_RANGES: tuple[WeightRange, ...] = get_args(WeightRange)


@dataclass(frozen=True)
class PtqSettings:
    """What is done so that the quantized model says the same as the float one.

    Neither the size of the file nor its kernels depend on any of it but ``balance``. What needs
    audio is left out where there is none.

    >>> PtqSettings(rounding="compensated").to_json()["rounding"]
    'compensated'

    Args:
        rounding: ``nearest`` level for each weight, or ``compensated``: each rounding error is
            made good by the weights that are still to be rounded; see
            :mod:`quantkit.codecs.compensated`. Needs audio.
        weight_range: how the steps of evenly spaced levels are found: ``search`` for the least
            weighted squared error, ``min-max`` without clipping, or ``cosine`` and ``hessian``,
            which look at the layer's output and need audio; see
            :mod:`quantkit.quantization.range_search`.
        bias_correction: biases take up what the errors of weights of fewer than 8 bits add to the
            result on average. Needs audio.
        equalization: spread the ranges of neighbouring layers evenly over their channels; see
            :mod:`quantkit.quantization.equalize.equalization`.
        smoothing: α of SmoothQuant, which moves activations' outliers into weights; 0 leaves it
            out. Needs audio; see :mod:`quantkit.quantization.equalize.smoothing`.
        target_cpu: the processors that the file must be right on; the first two keep the levels of
            integer layers' weights within ±64. See
            :mod:`quantkit.quantization.choices.target_cpu`.
        balance: names of layers that get a multiplication in front for outliers that have nowhere
            else to go. Needs audio; see :mod:`quantkit.quantization.equalize.balancing`.

    Raises:
        InputError: a name that does not exist, or an α outside 0…1.
    """

    rounding: Rounding = "compensated"
    weight_range: WeightRange = "search"
    bias_correction: bool = True
    equalization: bool = False
    smoothing: float = 0.0
    target_cpu: TargetCpu = "any"
    balance: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what, value, known in (
            ("rounding", self.rounding, ROUNDINGS),
            ("weight range", self.weight_range, WEIGHT_RANGES),
            ("target CPU", self.target_cpu, TARGET_CPUS),
        ):
            if value not in known:
                raise InputError(f"unknown {what} {value!r}; choose one of {', '.join(known)}")
        if not 0.0 <= self.smoothing <= 1.0:
            raise InputError(f"smoothing must be from 0 to 1, not {self.smoothing:g}")

    def to_json(self) -> dict[str, Any]:
        """As it stands in plans."""
        document = asdict(self) | {"balance": list(self.balance)}
        if not self.balance:
            del document["balance"]
        if self.target_cpu == UNRESTRICTED:
            del document["target_cpu"]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PtqSettings:
        """Read what :meth:`to_json` wrote, or a person edited; what is missing has its default,
        but for the target CPU: it is VNNI.

        Raises:
            FormatError: an unknown field or value.
        """
        kinds: dict[str, type | tuple[type, ...]] = {
            "bias_correction": bool,
            "equalization": bool,
            "smoothing": (int, float),
            "balance": (list, tuple),
        }
        known = {each.name for each in fields(cls)}
        if unknown := sorted(document.keys() - known):
            raise FormatError(f"fitting: unknown field {unknown[0]!r}")
        for name, value in document.items():
            if not isinstance(value, kinds.get(name, str)):
                raise FormatError(f"fitting: its {name} cannot be {value!r}")
        names = document.get("balance", ())
        if not all(isinstance(name, str) for name in names):
            raise FormatError(f"fitting: its balance cannot be {names!r}")
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise FormatError(f"fitting: its balance names {twice[0]} twice")
        try:
            return cls(**{"target_cpu": UNRESTRICTED, **document, "balance": tuple(names)})
        except InputError as error:
            raise FormatError(f"fitting: {error}") from error
