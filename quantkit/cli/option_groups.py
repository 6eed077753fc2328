"""Options that several commands share reach a command as one typed object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def option_group(
    kind: type[Any], parameter: str, options: Sequence[Callable[[Any], Any]]
) -> Callable[[F], F]:
    """Add ``options`` to a command, whose values become one ``kind``.

    Args:
        kind: a dataclass whose fields are called as the parameters of the options.
        parameter: of the command, that receives it.
        options: ``click.option(…)``, in the order of the help text.
    """
    names = [field.name for field in fields(kind)]

    def add(command: F) -> F:
        @wraps(command)
        def gathered(**values: Any) -> Any:
            own = kind(**{name: values.pop(name) for name in names})
            return command(**values, **{parameter: own})

        decorated: Any = gathered
        for option in reversed(options):
            decorated = option(decorated)
        found: F = decorated
        return found

    return add
