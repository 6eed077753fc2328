"""Is anything quantized at all? Asked before clips are heard and files are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from quantkit.errors import InputError, NothingQuantized
from quantkit.graph.weight_holders import held_in_words
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import AssignedModel, PreparedModel


def require_quantized(assigned: Iterable[AssignedModel]) -> None:
    """Some layer is quantized by one of ``assigned``, unless none was to be.

    Args:
        assigned: what the layers of one model may become.

    Raises:
        NothingQuantized: all layers stay float32; the message says why, and what else holds
            weights.
    """
    kept: AssignedModel | None = None
    for each in assigned:
        if not each.is_unchanged:
            return
        if kept is None and any(row.note for row in each.plan.layers):
            kept = each
    if kept is None:
        return
    noted = next(row for row in kept.plan.layers if row.note)
    reasons = (f"{noted.name}: {noted.note}", *held_in_words(kept.prepared.original))
    count = len(kept.layers)
    layers = f"all {count} layers" if count > 1 else "the only layer"
    raise NothingQuantized(
        f"nothing is quantized: {layers} of {kept.prepared.source} "
        f"{'stay' if count > 1 else 'stays'} float32; {'; '.join(reasons)}"
    )


def require_quantized_by(
    prepared: PreparedModel, family: Iterable[QuantizeSettings], fitting: PtqSettings | None
) -> None:
    """The same of what each of ``family`` makes of a model; the first that does is enough.

    Raises:
        NothingQuantized: see :func:`require_quantized`.
    """

    def assigned() -> Iterator[AssignedModel]:
        for settings in family:
            # What does not go with this model is said by whatever uses it.
            with suppress(InputError):
                yield prepare(prepared, settings, fitting)

    require_quantized(assigned())
