"""Where something lies on the hub: ``hf://OWNER/NAME@REVISION``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from quantkit.errors import InputError

_SCHEME = "hf://"
_PART = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?"
_ADDRESS = re.compile(rf"hf://({_PART}/{_PART})(?:@([\w][\w./-]*))?", re.ASCII)
_LONGEST_NAME = 96


@dataclass(frozen=True)
class HubAddress:
    """A model on the hub.

    Args:
        repository: ``OWNER/NAME``.
        revision: a branch, a tag or a commit; empty: the branch ``main``.
    """

    repository: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{_SCHEME}{self.repository}{'@' if self.revision else ''}{self.revision}"


def hub_address(text: str) -> HubAddress:
    """What ``text`` names.

    >>> hub_address("hf://acme/tiny-en@v1")
    HubAddress(repository='acme/tiny-en', revision='v1')

    Raises:
        InputError: it has another form.
    """
    found = _ADDRESS.fullmatch(text)
    sound = found is not None and len(found[1]) <= _LONGEST_NAME
    if found is None or not sound or ".." in text or "--" in found[1]:
        raise InputError(f"{text!r} is no address on the hub: give hf://OWNER/NAME[@REVISION]")
    return HubAddress(found[1], found[2] or "")
