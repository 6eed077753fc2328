"""Which layers an integer kernel would serve worse than the float one.

What can be said of one operator its object says; here is what goes for all. How much slower integer
kernels of some layers are: ``python -m benchmarks.integer_convolutions``.
"""

from __future__ import annotations

import numpy as np

from quantkit.graph.operators import LayerWeight
from quantkit.graph.plan import Compute

#: Kernels that are built inside the bodies of control flow.
_IN_BODIES = ("float32", "dynamic")
#: Why a range there cannot be calibrated.
UNSEEN = "clips show nothing of what goes on in the body of an If, Loop or Scan"


def reason_to_stay_float(weight: LayerWeight, compute: Compute, emulated: bool = False) -> str:
    """Why a layer must compute in float32 instead of ``compute``; empty if it need not.

    Args:
        emulated: whether the integer grids are computed by the float kernel anyway.
    """
    if weight.editor.parent is not None and compute not in _IN_BODIES:
        return UNSEEN if compute == "static" else f"no {compute} kernel is built in such a body"
    return weight.operator.reason_to_stay_float(weight.editor, weight.node, compute, emulated)


def reason_to_stay_plain(weight: LayerWeight) -> str:
    """Why a weight must be stored as it is; empty if it need not."""
    if reason := weight.operator.reason_to_stay_plain(weight.editor, weight.node):
        return reason
    values = weight.array()
    if values is None:
        return "its weight is not a constant tensor"
    if values.dtype != np.float32:
        return f"its weight is {values.dtype}, not float32"
    if not np.isfinite(values).all():
        return "its weight holds NaN or infinity"
    return ""
