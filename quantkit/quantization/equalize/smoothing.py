"""SmoothQuant: outlier channels of activations become larger weights.

In transformers a few channels behind a layer normalisation are many times larger than the others.
One 8-bit grid for all of them leaves the rest a few levels, while weights, each output channel
with its own scale, have room to spare. The factors

    sⱼ = max|xⱼ|^α / max|wⱼ|^(1−α)

divide the activation and multiply the weights (Xiao et al. 2022, "SmoothQuant: Accurate and
Efficient Post-Training Quantization for Large Language Models", equation 4). α is what share of
the difficulty moves; layers that read the same value, such as query, key and value, share one s.
Where the factors can go, :mod:`quantkit.quantization.equalize.channel_scaling` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quantkit.graph.editor import GraphEditor
from quantkit.quantization.equalize.channel_scaling import (
    Junction,
    Magnitudes,
    input_magnitudes,
    move,
    ratio,
)


def smooth(
    editor: GraphEditor,
    junctions: Sequence[Junction],
    activations: Mapping[str, Magnitudes],
    alpha: float,
) -> None:
    """Move the factors at ``junctions``, in place.

    Args:
        activations: what the readers meet, by the maker's name.
        alpha: from 0 (the weights become even) to 1 (the activations do).
    """
    for junction in junctions:
        met = activations[junction.maker.name].maxima
        weights = input_magnitudes(editor, junction).maxima
        factors = ratio(np.power(met, alpha), np.power(weights, 1 - alpha))
        move(editor, junction, factors)
