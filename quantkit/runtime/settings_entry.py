"""Settings of a task that stand in an artifact's metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from quantkit.errors import FormatError, ModelError

T = TypeVar("T")


def settings_entry(
    extra: Mapping[str, str], name: str, read: Callable[[str], T], what: str, remedy: str
) -> T:
    """The settings in one entry of :attr:`~quantkit.graph.info.ArtifactInfo.extra`.

    Args:
        name: of the entry, without the ``quantkit.`` before it.
        read: makes them of its text.
        what: the model does not say where there is none, such as ``how it is decoded``.
        remedy: the command that makes a model with them.

    Raises:
        ModelError: there is no entry, or it is damaged.
    """
    if not extra.get(name):
        raise ModelError(
            f"the model does not say {what} (metadata `quantkit.{name}`); make it with `{remedy}`"
        )
    try:
        return read(extra[name])
    except FormatError as error:
        raise ModelError(f"its quantkit metadata is damaged: {error}") from error
