"""How the numbers of a plan are found, where some of it is said anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quantkit.graph.plan import Plan
from quantkit.quantization.choices.ptq import PtqSettings


def fitting_of(plan: Plan, changes: Mapping[str, Any] | None) -> PtqSettings | None:
    """What ``plan`` says, but for ``changes``, by name of the field; None without any.

    Raises:
        FormatError: the plan has an unknown field or value.
        InputError: ``changes`` have.
    """
    if not changes:
        return None
    return replace(PtqSettings.from_json(plan.fitting), **changes)
