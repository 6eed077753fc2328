"""What calibration clips showed about a float model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quantkit.arrays import FloatArray
from quantkit.calibration.input_moments import InputMoments
from quantkit.calibration.input_samples import InputSamples
from quantkit.calibration.ranges import Range


@dataclass(frozen=True)
class Observations:
    """Figures by layer name, but for ``ranges``, which go by the value's name. Any may be missing.

    Args:
        ranges: of the values that static layers read and write.
        second_moments, means: mean square and mean of each input channel, (channels,).
        matrices: second moments of all pairs of inputs, for error-compensated rounding.
        samples: some of the inputs, for the search of ranges.
        channel_use: how often each output channel of a vocabulary is read or predicted; see
            :mod:`~quantkit.quantization.channel_use`.
        scales: steps of evenly spaced levels that such a search found, (output channels,).
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)
    second_moments: Mapping[str, FloatArray] = field(default_factory=dict)
    means: Mapping[str, FloatArray] = field(default_factory=dict)
    matrices: Mapping[str, InputMoments] = field(default_factory=dict)
    samples: Mapping[str, InputSamples] = field(default_factory=dict)
    channel_use: Mapping[str, FloatArray] = field(default_factory=dict)
    scales: Mapping[str, FloatArray] = field(default_factory=dict)
