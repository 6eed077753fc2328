"""Cross-layer equalization: neighbouring layers share their ranges, channel by channel.

Factors move between two layers (see :mod:`quantkit.quantization.equalize.channel_scaling`). With r₁
the largest weight that makes a channel, r₂ the largest that meets it, a its largest activation, and
x̄ and w̄ the root mean squares of the activation and of the weights that meet it, the factors are

- ``weights``: s = √(r₁ / r₂). Then both layers have the same range in each channel (Nagel et al.
  2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", equation 11).
  Made for weights with one scale in all; needs no audio.
- ``activations``: s = a / max a. Every channel uses the whole grid of the activation, which has one
  scale for all of them (Meller et al. 2019, "Same, Same But Different").
- ``balanced``: s = √(x̄ / w̄). The step of an output channel's weights grows with the root mean
  square of w · s, and the error that a step makes in the output with that of x / s. By the
  Cauchy-Schwarz inequality this s makes their product least.

Weights have a scale per output channel here, so what the factors do to the maker's own rows costs
and gives nothing: they matter to the readers and to the activation between. High-bias absorption
(section 4.2 of Nagel et al.) is left out: it needs channels that are hardly ever zero behind their
ReLU, of which the shipped model has none among 2,560, and would be wrong at the edges of padded
convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.graph.editor import GraphEditor
from quantkit.quantization.equalize.channel_scaling import (
    Junction,
    Magnitudes,
    input_magnitudes,
    move,
    output_maxima,
    ratio,
)

Form = Literal["weights", "activations", "balanced"]

_ROUNDS = 100
# Factors of this size move what is below any grid's resolution.
_SETTLED = 1e-3


def equalize(
    editor: GraphEditor,
    junctions: Sequence[Junction],
    form: Form = "weights",
    magnitudes: Mapping[str, Magnitudes] | None = None,
) -> None:
    """Move factors at ``junctions``, in place, over and over, until all have settled.

    The factors at one junction change what its neighbours see.

    Args:
        form: which factors.
        magnitudes: of the activations, by the maker's name; all forms but ``weights`` need them.
    """
    seen = dict(magnitudes or {})
    for _ in range(_ROUNDS):
        largest = 0.0
        for junction in junctions:
            name = str(junction.maker.name)
            factors = _factors(editor, junction, form, seen.get(name))
            move(editor, junction, factors)
            if name in seen:
                seen[name] = seen[name].divided_by(factors)
            largest = max(largest, float(np.abs(np.log(factors)).max()))
        if largest < _SETTLED:
            return


def _factors(
    editor: GraphEditor, junction: Junction, form: Form, activations: Magnitudes | None
) -> FloatArray:
    weights = input_magnitudes(editor, junction)
    if form == "weights" or activations is None:
        return np.sqrt(ratio(output_maxima(editor, junction), weights.maxima))
    if form == "activations":
        return ratio(activations.maxima, np.full_like(weights.maxima, activations.maxima.max()))
    return np.sqrt(ratio(activations.root_mean_squares, weights.root_mean_squares))
