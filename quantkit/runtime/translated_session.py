"""Run a graph of somebody's folder by the names and forms of an artifact's graph.

Free of the ``onnx`` package, as edge programs are. :mod:`quantkit.graph.translating` writes the
same steps as nodes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from quantkit.arrays import Array
from quantkit.graph.interface import Declared
from quantkit.graph.translation import Step, Translation
from quantkit.runtime.adapted_session import Value
from quantkit.runtime.widened_session import Session

# A predictor is run hundreds of times for a clip, so these are written for speed.
_KINDS: Mapping[str, Callable[[Step, list[Array]], Sequence[Array]]] = {
    "identity": lambda _step, given: given,
    "cast": lambda step, given: (given[0].astype(step.type, copy=False),),
    "transpose": lambda step, given: (given[0].transpose(step.numbers),),
    "squeeze": lambda step, given: (given[0].squeeze(step.numbers),),
    "unsqueeze": lambda step, given: (_unsqueezed(given[0], step.numbers),),
    "rows": lambda _step, given: (given[0][given[1][:, 0]],),
    "equal": lambda _step, given: (given[0] == given[1],),
    "split": lambda step, given: _parts(given[0], step.numbers),
    "log_softmax": lambda _step, given: (_log_softmax(given[0]),),
    "one_batch": lambda _step, given: (given[0].reshape(1, -1, given[0].shape[2]),),
    "concat": lambda _step, given: (np.concatenate(given, axis=-1),),
    "size": lambda step, given: (np.array([given[0].shape[step.numbers[0]]]),),
    "sum": lambda _step, given: (given[0] + given[1],),
    "pad": lambda step, given: (_padded(given[0], *step.numbers),),
    "first": lambda step, given: (_first(given[0], step.numbers[0], int(given[1][0])),),
    "take": lambda step, given: (given[0].take(given[1], axis=step.numbers[0]),),
    "places": lambda step, given: (np.arange(given[0].shape[step.numbers[0]]),),
}


def _padded(values: Array, axis: int, size: int) -> Array:
    amounts = [(0, size - values.shape[axis] if each == axis else 0) for each in range(values.ndim)]
    return np.pad(values, amounts)


def _first(values: Array, axis: int, count: int) -> Array:
    return values[(slice(None),) * axis + (slice(count),)]


def _unsqueezed(values: Array, axes: Sequence[int]) -> Array:
    sizes = [*values.shape]
    for axis in axes:
        sizes.insert(axis, 1)
    return values.reshape(sizes)


def _parts(values: Array, sizes: Sequence[int]) -> list[Array]:
    ends = itertools.accumulate(sizes)
    return [values[..., end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _log_softmax(values: Array) -> Array:
    apart = values - values.max(axis=-1, keepdims=True)
    found: Array = apart - np.log(np.exp(apart).sum(axis=-1, keepdims=True))
    return found


class TranslatedSession:
    """A session of somebody else's graph that answers like one of an artifact.

    Args:
        session: of the graph as it is.
        translation: what it takes and gives.
    """

    def __init__(self, session: Session, translation: Translation) -> None:
        self._session, self._translation = session, translation
        self._inputs = {translation.inner(each.name): each.name for each in translation.inputs}
        self._outputs = [each.name for each in translation.outputs]

    def get_inputs(self) -> list[Value]:
        """Those of the artifact."""
        return [_value(each) for each in self._translation.takes]

    def get_outputs(self) -> list[Value]:
        """Those of the artifact."""
        return [_value(each) for each in self._translation.gives]

    def get_modelmeta(self) -> Any:
        """Of the original."""
        return self._session.get_modelmeta()

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """The outputs of the artifact called ``names``."""
        given = run_steps(self._translation.before, feeds)
        own = {name: np.ascontiguousarray(given[inner]) for inner, name in self._inputs.items()}
        made = self._session.run(self._outputs, own)
        inner = map(self._translation.inner, self._outputs)
        found = run_steps(
            self._translation.behind, {**given, **dict(zip(inner, made, strict=True))}
        )
        return [found[name] for name in names]


def run_steps(steps: Iterable[Step], values: Mapping[str, Array]) -> dict[str, Array]:
    """``values``, and all that ``steps`` make of them, by name."""
    known = dict(values)
    for step in steps:
        made = _KINDS[step.kind](step, [known[name] for name in step.inputs])
        known |= zip(step.outputs, made, strict=True)
    return known


def _value(declared: Declared) -> Value:
    kind = {"float32": "float", "float64": "double"}.get(declared.type, declared.type)
    sizes = [size if isinstance(size, int | str) else "" for size in declared.sizes or ()]
    return Value(declared.name, sizes, f"tensor({kind})")
