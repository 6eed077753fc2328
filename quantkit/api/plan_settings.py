"""What one may say about how a plan is made, and which method knows which of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from quantkit.api.inputs import Budget, PathLike, budget_bytes
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.planning.methods import METHODS, options_of
from quantkit.planning.methods.counting import SizeCount
from quantkit.planning.methods.ordering import Direction
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings

#: Every method by name, with one line about it.
PLAN_METHODS: Mapping[str, str] = MappingProxyType(
    {
        "optimal": "the least predicted output divergence, tried and corrected on the audio",
        **{name: method.description for name, method in METHODS.items()},
        "manual": "what the options or --from say, checked against the budget if there is one",
    }
)

# Settings that only some methods know, with what the command line calls them.
_OF_OPTIMAL = {
    "candidates": "--candidate",
    "max_latency": "--max-latency",
    "structure": "--structure",
    "times": "--times",
    "verify": "--verify",
    "fronts": "--pareto",
    "max_input_divergence": "--max-input-divergence",
}
_OF_OTHERS = {
    "metric": "--metric",
    "direction": "--direction",
    "size": "--size-count",
    "seed": "--seed",
}


@dataclass(frozen=True)
class PlanSettings:
    """How a plan is made; what is None or empty is as usual.

    >>> PlanSettings(max_latency="0.4x").codec is None
    True

    Args:
        quantize: compute, activation grids, pinned and excluded layers. Its codec matters to the
            method ``manual`` only, which does what these settings say.
        fitting: how the numbers will be found; None: the usual way.
        codec: name of the only codec to choose bits of.
        candidates: optimal: codecs to choose among; empty: all in the sensitivity table.
        max_latency: optimal: what a run may take on this host, such as ``30ms``, or ``0.4x`` of
            what float32 takes; then kernels are chosen, too.
        structure: optimal, with ``max_latency``: let layers have lower ranks and make fewer
            channels where that loses less; None: with audio.
        times: optimal: file with the times of the layers on this host; measured on the audio and
            written there, where there is none yet.
        verify: optimal: try the plan on the audio, and correct it where layers interact; None:
            where there is audio.
        fronts: optimal: files for what is possible at other sizes, as ``.tsv``, ``.md``,
            ``.json``, ``.png``, ``.svg`` or ``.pdf``.
        max_input_divergence: optimal, without ``max_latency``: what integer inputs may cost
            together, in nats; None: a tenth of what the weights cost. See
            :func:`~quantkit.planning.optimal.planner_within`.
        load_memory: what opening the file in ONNX Runtime may take beyond the libraries:
            ``"300MB"``, or bytes. The method ``optimal`` then leaves out codecs whose decoders take
            too much; other methods are refused where they do not keep to it.
        metric: of the sensitivity table, which other methods sort by.
        direction: whether layers with small (``ascending``) or large values lose bits first.
        size: myqasr: what is compared with the budget; only ``bytes`` are those of the file.
        seed: shuffled: which deal.
    """

    quantize: QuantizeSettings = field(default_factory=QuantizeSettings)
    fitting: PtqSettings | None = None
    codec: str | None = None
    candidates: tuple[CodecChoice, ...] = ()
    max_latency: str | None = None
    structure: bool | None = None
    times: PathLike | None = None
    verify: bool | None = None
    fronts: tuple[PathLike, ...] = ()
    max_input_divergence: float | None = None
    load_memory: Budget | None = None
    metric: str | None = None
    direction: Direction | None = None
    size: SizeCount | None = None
    seed: int | None = None

    def require_known_to(self, method: str) -> None:
        """Refuse what ``method`` would ignore.

        Raises:
            InputError: there is no such method, or a setting is not one of it.
        """
        if method not in PLAN_METHODS:
            raise InputError(f"unknown method {method!r}; choose one of {', '.join(PLAN_METHODS)}")
        known = set(_OF_OPTIMAL) if method == "optimal" else set()
        if method in METHODS:
            known = set(options_of(method))
        for name, option in (_OF_OPTIMAL | _OF_OTHERS).items():
            if name not in known and getattr(self, name) not in (None, ()):
                raise InputError(f"{option} does not go with --method {method}")

    @property
    def load_bytes(self) -> int | None:
        """The limit of :attr:`load_memory`.

        Raises:
            InputError: it is not a size.
        """
        return None if self.load_memory is None else budget_bytes(self.load_memory)

    @property
    def of_method(self) -> dict[str, object]:
        """What methods other than ``optimal`` take by name, as far as it was said."""
        given = {name: getattr(self, name) for name in _OF_OTHERS}
        return {name: value for name, value in given.items() if value is not None}
