"""PyTorch in one thread while it makes weights.

Threads divide a sum, and its last digit follows from how many there are. A weight that is computed
while a model is exported, such as one of a weight norm or one with a LoRA adapter in it, would not
have the same bytes on two machines. What only proves the file may take all threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_before: ContextVar[int] = ContextVar("threads of PyTorch before an export", default=0)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch in one thread.

    Raises:
        ImportError: it is not installed.
    """
    import torch

    threads = torch.get_num_threads()
    token = _before.set(threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _before.reset(token)


@contextmanager
def all_threads() -> Iterator[None]:
    """Run PyTorch in as many threads as before :func:`one_thread`; outside of that, do nothing."""
    threads = _before.get()
    if not threads:
        yield
        return
    import torch

    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(1)
