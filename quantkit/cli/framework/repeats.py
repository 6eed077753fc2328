"""Options that were given twice where one value counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import click


def refuse_repeats(given: Iterable[click.Parameter], ctx: click.Context) -> None:
    """Raise when an option of one value is named more than once.

    The last one would win in silence, and the user would not learn that the first did nothing.

    Args:
        given: the parameters in the order of the command line, each as often as it was named.

    Raises:
        click.UsageError: naming the option.
    """
    counts = Counter(
        parameter.name
        for parameter in given
        if isinstance(parameter, click.Option) and _takes_one(parameter)
    )
    for parameter in ctx.command.get_params(ctx):
        if counts[parameter.name] > 1:
            option = "/".join([parameter.opts[-1], *parameter.secondary_opts[-1:]])
            raise click.UsageError(
                f"{option} is given {counts[parameter.name]} times, and takes one value", ctx
            )


def _takes_one(option: click.Option) -> bool:
    return not (option.multiple or option.count or "--help" in option.opts)
