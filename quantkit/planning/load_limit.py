"""Plans whose files can be opened in little memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.graph.joined import roles_of, split
from quantkit.graph.plan import Plan
from quantkit.planning.correction import Correction
from quantkit.planning.size import dry_build
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.load_memory import LoadMemory, load_memory_of_graphs

# What decoders compute on the way, as bytes for each weight, falls from one row to the next:
# ``python -m benchmarks.load``. What no row names stays.
_HEAVIEST_FIRST = (
    ("rice", "sparse", "tiered"),
    ("grouped",),
    ("bitplane", "codebook", "powers", "ternary", "binary"),
)


def plan_load_memory(source: PreparedModel, plan: Plan) -> LoadMemory:
    """What opening the file of ``plan`` takes, foretold from a dry build of it.

    Raises:
        QuantkitError: see :func:`~quantkit.planning.size.dry_build`.
    """
    model = dry_build(source, plan).model
    return load_memory_of_graphs(split(model) if len(roles_of(model)) > 1 else [model])


def lighter(codecs: Collection[CodecChoice]) -> Iterator[tuple[CodecChoice, ...]]:
    """Fewer and fewer of ``codecs``: first those go whose decoders take the most memory.

    >>> [[str(each) for each in some] for some in lighter([*map(
    ...     CodecChoice.parse, ("grouped:4", "bitplane:4", "int8"))])]
    [['bitplane:4', 'int8'], ['int8']]
    """
    left = tuple(codecs)
    for names in _HEAVIEST_FIRST:
        fewer = tuple(codec for codec in left if codec.name not in names)
        if fewer and fewer != left:
            left = fewer
            yield left


def openable_plan(
    source: PreparedModel,
    limit: int | None,
    best: Callable[[tuple[CodecChoice, ...]], Correction],
    codecs: tuple[CodecChoice, ...],
) -> Correction:
    """The best plan of ``codecs``, or of fewer where its file would take too much to open.

    Args:
        limit: bytes that opening may take; None: as many as it takes.
        best: the best plan of some codecs.

    Raises:
        InputError: no plan keeps to the budget and to what opening may take.
    """
    found = best(codecs)
    if limit is None:
        return found
    for fewer in lighter(codecs):
        if plan_load_memory(source, found.optimum.plan).peak_bytes <= limit:
            break
        try:
            found = best(fewer)
        except InputError:
            # Without the others nothing keeps to the budget.
            break
    require_openable(source, found.optimum.plan, limit)
    return found


def require_openable(source: PreparedModel, plan: Plan, limit: int | None) -> None:
    """Refuse a plan whose file takes more than ``limit`` bytes of memory to open.

    Raises:
        InputError: it does, and what would help.
    """
    if limit is None:
        return
    peak = plan_load_memory(source, plan).peak_bytes
    if peak > limit:
        raise InputError(
            f"opening the file would take {peak / 1e6:,.1f} MB, more than --load-memory of "
            f"{limit / 1e6:,.1f} MB: raise it, let native:4 or int8 be among the codecs with a "
            "larger --budget, or leave it out and `quantkit unpack` the file where it is used"
        )
