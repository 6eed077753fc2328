"""Commands as a shell would run them."""

from __future__ import annotations

import pytest

from quantkit.cli import main


def run(*arguments: object) -> int:
    """Run ``quantkit ARGUMENTS``; returns its exit code."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code
