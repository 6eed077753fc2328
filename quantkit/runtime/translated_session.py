"""Run a graph of somebody's folder by the names and forms of an artifact's graph.

Free of the ``onnx`` package, as edge programs are. :mod:`quantkit.graph.translating` writes the
same steps as nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from quantkit.arrays import Array
from quantkit.graph.interface import Declared
from quantkit.graph.translation import Step, Translation
from quantkit.runtime.adapted_session import Value
from quantkit.runtime.output_scale import log_probabilities
from quantkit.runtime.widened_session import Session

_KINDS: Mapping[str, Callable[[Step, list[Array]], list[Array]]] = {
    "identity": lambda _step, given: given,
    "cast": lambda step, given: [given[0].astype(step.type)],
    "transpose": lambda step, given: [given[0].transpose(step.numbers)],
    "squeeze": lambda step, given: [given[0].squeeze(step.numbers)],
    "unsqueeze": lambda step, given: [np.expand_dims(given[0], step.numbers)],
    "rows": lambda _step, given: [given[0][given[1][:, 0]]],
    "equal": lambda _step, given: [given[0] == given[1]],
    "split": lambda step, given: np.split(given[0], np.cumsum(step.numbers)[:-1], axis=-1),
    "log_softmax": lambda _step, given: [
        log_probabilities(given[0], "logits").astype(given[0].dtype)
    ],
    "concat": lambda _step, given: [np.concatenate(given, axis=-1)],
}


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
        found = run_steps(self._translation.behind, dict(zip(inner, made, strict=True)))
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
