"""In which form a weight of each codec is trained."""

from __future__ import annotations

from quantkit.arrays import FloatArray
from quantkit.codecs.base import Codec, Encoded
from quantkit.codecs.codebook import Codebook
from quantkit.codecs.divided import Divided
from quantkit.codecs.fixed_levels import FixedLevels
from quantkit.codecs.grouped import Grouped
from quantkit.codecs.rice import Rice
from quantkit.codecs.uniform import EvenlySpaced
from quantkit.finetuning.priced_weights import PricedWeight
from quantkit.finetuning.weights import EvenWeight, OtherWeight, TableWeight, TrainedWeight


def trained_weight(
    codec: Codec, values: FloatArray, first: Encoded, largest_level: int | None = None
) -> TrainedWeight:
    """See :class:`~quantkit.finetuning.weights.TrainedWeight`."""
    if isinstance(codec, EvenlySpaced):
        return EvenWeight(codec, values, first, largest_level, codec.spacing)
    if isinstance(codec, FixedLevels):
        tables = codec.tables_within(largest_level)
        return TableWeight(codec, values, first, largest_level, codec.weights_per_table, tables)
    if isinstance(codec, Grouped):
        return TableWeight(codec, values, first, largest_level, codec.group_size)
    if isinstance(codec, Codebook):
        return TableWeight(codec, values, first, largest_level, None)
    if isinstance(codec, Rice) and not _is_divided(codec, values, first.axis):
        return PricedWeight(codec, values, first, largest_level)
    return OtherWeight(codec, values, first, largest_level)


def _is_divided(codec: Divided, values: FloatArray, axis: int) -> bool:
    return len([*codec.split(values.shape, axis)]) > 1
