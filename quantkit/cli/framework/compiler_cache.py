"""No folder of PyTorch's compiler among the temporary files of the system."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import OutputError

_SWITCH = "TORCHINDUCTOR_CACHE_DIR"


@contextmanager
def own_compiler_cache() -> Iterator[None]:
    """Give PyTorch a folder that goes with the command.

    PyTorch makes ``torchinductor_USER`` in the folder for temporary files as soon as a module of
    its compiler is imported, which ``transformers`` and every export do, and leaves it there.
    A folder that the user named is left alone.
    """
    if os.environ.get(_SWITCH):
        yield
        return
    with contextlib.ExitStack() as stack:
        # Without room for it, PyTorch may look for another place; most commands need none.
        with contextlib.suppress(OutputError):
            os.environ[_SWITCH] = str(stack.enter_context(TemporaryFolder("compiler")))
        try:
            yield
        finally:
            os.environ.pop(_SWITCH, None)
