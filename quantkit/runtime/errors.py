"""What ONNX Runtime raises, as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from quantkit.errors import ModelError


@contextmanager
def runtime_errors(what: str) -> Iterator[None]:
    """Raise what ONNX Runtime raises in a ``with`` block as a :class:`ModelError`.

    Args:
        what: the beginning of the message, such as ``the model fails on clip a.wav``; the reason
            follows in one line.

    Raises:
        ModelError: something in the block failed.
    """
    try:
        yield
    # ONNX Runtime's exceptions share no base class but Exception.
    except Exception as error:
        raise ModelError(f"{what}: {in_one_line(error)}") from error


def in_one_line(error: Exception) -> str:
    """What an error says, without its line breaks."""
    return " ".join(str(error).split())
