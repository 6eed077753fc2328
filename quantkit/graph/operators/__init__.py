"""The operators that layers are made of: each answers one list of questions.

>>> operator_named("Conv").bias_input
2
"""

from quantkit.graph.operators.base import Halves, Operator, Slot
from quantkit.graph.operators.geometry import Geometry
from quantkit.graph.operators.layer_weight import (
    LayerWeight,
    layer_weights,
    node_weights,
    unfolds,
)
from quantkit.graph.operators.registry import (
    affine,
    lookups,
    operator_named,
    operator_of,
    operators,
    products,
    register,
)

__all__ = [
    "Geometry",
    "Halves",
    "LayerWeight",
    "Operator",
    "Slot",
    "affine",
    "layer_weights",
    "lookups",
    "node_weights",
    "operator_named",
    "operator_of",
    "operators",
    "products",
    "register",
    "unfolds",
]
