"""A model of 16-bit floats that is fed, and answers, in 32 bits.

Free of the ``onnx`` package, as edge programs are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from quantkit.arrays import Array

_HALF = "tensor(float16)"


class Session(Protocol):
    """What is needed of a session of ONNX Runtime."""

    def get_inputs(self) -> Sequence[Any]: ...
    def get_outputs(self) -> Sequence[Any]: ...
    def get_modelmeta(self) -> Any: ...
    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> Sequence[Any]: ...


class WidenedSession:
    """Takes and gives float32 where the model has float16, as its conversion does.

    Args:
        session: of the model as it is.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._halves = {each.name for each in session.get_inputs() if each.type == _HALF}

    def get_inputs(self) -> list[Any]:
        """As the model declares them."""
        return [*self._session.get_inputs()]

    def get_outputs(self) -> list[Any]:
        """As the model declares them."""
        return [*self._session.get_outputs()]

    def get_modelmeta(self) -> Any:
        """Of the model."""
        return self._session.get_modelmeta()

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Any]:
        """The outputs called ``names``."""
        halves = {name: feeds[name].astype(np.float16) for name in self._halves & feeds.keys()}
        found = self._session.run(names, {**feeds, **halves})
        return [each.astype(np.float32) if _is_half(each) else each for each in found]


def _is_half(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float16
