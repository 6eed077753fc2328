"""Ways to decide which layer gets how many bits: one file per method.

Each is a function ``(source, budget_bytes, sensitivity, settings, **options) -> Plan`` whose plan's
file takes at most ``budget_bytes``, or that raises :class:`~quantkit.errors.InputError` with the
smallest possible size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from quantkit.errors import InputError
from quantkit.graph.plan import Plan
from quantkit.planning.methods.linear import linear_plan
from quantkit.planning.methods.myqasr import myqasr_plan
from quantkit.planning.methods.reversed import reversed_plan
from quantkit.planning.methods.shuffled import shuffled_plan
from quantkit.planning.methods.uniform import uniform_plan

Method = Callable[..., Plan]

#: Every method by name, the simplest first.
METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "uniform": uniform_plan,
        "shuffled": shuffled_plan,
        "reversed": reversed_plan,
        "linear": linear_plan,
        "myqasr": myqasr_plan,
    }
)

#: One line for each method, for help texts.
DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "uniform": "the most bits that fit, the same for every layer",
        "shuffled": "the bits that myqasr assigns, dealt out at random",
        "reversed": "myqasr with its order reversed",
        "linear": "bits in proportion to a metric of the layers",
        "myqasr": "one bit from each layer in turn, sorted by a metric, until the size fits",
    }
)


def method_named(name: str) -> Method:
    """The method called ``name``.

    Raises:
        InputError: there is none.
    """
    try:
        return METHODS[name]
    except KeyError:
        raise InputError(f"unknown method {name!r}; choose one of {', '.join(METHODS)}") from None
