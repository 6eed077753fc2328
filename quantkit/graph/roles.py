"""Which graphs an artifact is made of, by role; free of the ``onnx`` package.

An artifact of one graph has nothing to say about it. One of several lists them in its metadata, in
the order of a run (``quantkit.graphs``, a JSON list)::

    [{"role": "encoder", "outputs": ["encoded"]},
     {"role": "predictor", "file": "user.predictor.onnx", "outputs": ["predicted", "last"],
      "per_token": true,
      "states": [{"input": "previous", "output": "last", "shape": ["batch", 1],
                  "type": "int64", "value": 0}]}]

The first one is the artifact itself and has all metadata; the others are files beside it. A value
goes from one graph to a later one by having the same name in both.

An encoder and its decoder have a shorter form: the entry ``quantkit.decoder`` names the file of the
decoder, padded with spaces. What goes from one to the other is called ``cross.*``, and
``present.x`` of one run of the decoder is ``past.x`` of the next.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quantkit.arrays import Array
from quantkit.errors import FormatError
from quantkit.json_fields import parse_json

#: Metadata entry of the first graph that lists all of them.
GRAPHS_KEY = "quantkit.graphs"
#: The same for an encoder and its decoder: the file name of the decoder.
DECODER_KEY = "quantkit.decoder"
#: In the shorter form, beginnings of the names of what goes from the encoder to the decoder, and
#: of the decoder's states before and after a run.
CROSSING, PAST, PRESENT = "cross.", "past.", "present."
#: Stands for the number of hypotheses in the shape of a state.
BATCH = "batch"

#: Role of the graph of an artifact that has only one.
MODEL = "model"
ENCODER, DECODER = "encoder", "decoder"
#: Of the four graphs that some are published as; see :mod:`quantkit.graph.two_decoders`.
PREPROCESS, FIRST = "preprocess", "first"
FOUR_GRAPHS = (PREPROCESS, ENCODER, FIRST, DECODER)

# The longest name that common file systems take, in bytes.
_LONGEST_NAME = 255
_TYPES = ("float32", "float16", "int64", "int32", "bool")


@dataclass(frozen=True)
class State:
    """What one run of a graph leaves for the next.

    >>> State("past", "present", ("batch", 2, 0, 8)).initial(3).shape
    (3, 2, 0, 8)

    Args:
        input, output: what it is called before and after a run.
        shape: of its first value, with :data:`BATCH` for the number of hypotheses.
        type: of its elements, as NumPy calls it.
        value: what its first value is filled with.
    """

    input: str
    output: str
    shape: tuple[int | str, ...]
    type: str = "float32"
    value: float = 0.0

    def initial(self, batch: int = 1) -> Array:
        """The value before the first run."""
        shape = [batch if size == BATCH else int(size) for size in self.shape]
        return np.full(shape, self.value, self.type)


@dataclass(frozen=True)
class GraphRole:
    """One graph of an artifact.

    Args:
        role: what it is for, such as ``encoder``.
        outputs: names of what it computes, states included.
        per_token: whether it is run again for each token of a text.
        states: what its runs leave for the next.
        file: its name, beside the artifact; empty for the first graph.
    """

    role: str
    outputs: tuple[str, ...] = ()
    per_token: bool = False
    states: tuple[State, ...] = ()
    file: str = ""


def roles_in(metadata: Mapping[str, str]) -> tuple[GraphRole, ...]:
    """The graphs that the metadata of an artifact list; one without a file where they list none.

    Those of the shorter form are without outputs and states: they follow from the names in the
    graphs, see :func:`short_form`.

    Raises:
        FormatError: the list is damaged.
    """
    if listed := metadata.get(GRAPHS_KEY):
        return roles_from_json(listed)
    # Files of before are not padded.
    if file := metadata.get(DECODER_KEY, "").rstrip(" "):
        return GraphRole(ENCODER), GraphRole(DECODER, per_token=True, file=file)
    return (GraphRole(MODEL),)


def roles_to_json(roles: Sequence[GraphRole]) -> str:
    """The list for :data:`GRAPHS_KEY`.

    It is as long whatever the files are called, so that the size of an artifact is known before
    its name is.
    """
    text = json.dumps([_entry(role) for role in roles], ensure_ascii=False)
    names = (json.dumps(role.file, ensure_ascii=False) for role in roles[1:])
    return text + "".join(map(_rest_of_longest, names))


def padded_name(file: str) -> str:
    """A file name for :data:`DECODER_KEY`: as long whatever the file is called.

    >>> len(padded_name("user.decoder.onnx"))
    255
    """
    return file + _rest_of_longest(file)


def _rest_of_longest(name: str) -> str:
    return " " * max(0, _LONGEST_NAME - len(name.encode()))


def roles_from_json(text: str) -> tuple[GraphRole, ...]:
    """Inverse of :func:`roles_to_json`.

    >>> roles = (GraphRole("encoder", ("encoded",)), GraphRole("joiner", ("log_probs",), True))
    >>> roles_from_json(roles_to_json(roles)) == roles
    True

    Raises:
        FormatError: not such a list, or two graphs have one role.
    """
    try:
        rows = parse_json(text, "the list of graphs")
        roles = tuple(_role(row) for row in rows)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"the list of graphs is not readable: {error}") from error
    names = [role.role for role in roles]
    if not roles or len({*names}) != len(names):
        raise FormatError(f"the list of graphs has the roles {', '.join(names) or 'of none'}")
    return roles


def short_form(
    outputs: Sequence[str], inputs: Mapping[str, Sequence[Any]], file: str = ""
) -> tuple[GraphRole, GraphRole]:
    """Encoder and decoder whose values are named as in the shorter form.

    Args:
        outputs: names of what both compute.
        inputs: shapes of what the decoder takes, by name.
        file: name of the decoder's file.

    Raises:
        FormatError: a state has another shape than keys and values have.
    """
    crossing = tuple(name for name in outputs if name.startswith(CROSSING))
    others = tuple(name for name in outputs if not name.startswith(CROSSING))
    return (
        GraphRole(ENCODER, crossing),
        GraphRole(DECODER, others, True, short_form_states(inputs), file),
    )


def short_form_states(inputs: Mapping[str, Sequence[Any]]) -> tuple[State, ...]:
    """Keys and values of the tokens before, of which there are none at first.

    Args:
        inputs: shapes of what the decoder takes, by name: (batch, heads, tokens, head_size).

    Raises:
        FormatError: a state has another shape.
    """
    states = []
    for name, shape in inputs.items():
        if not name.startswith(PAST):
            continue
        if len(shape) != 4 or not all(isinstance(shape[axis], int) for axis in (1, 3)):
            raise FormatError(
                f"the state {name} has shape {tuple(shape)}, not (batch, heads, tokens, size)"
            )
        first = (BATCH, int(shape[1]), 0, int(shape[3]))
        states.append(State(name, PRESENT + name.removeprefix(PAST), first))
    return tuple(states)


def beside(path: Path, role: str) -> Path:
    """Where the graph for ``role`` of the artifact at ``path`` is written.

    >>> beside(Path("models/base.onnx"), "decoder").name
    'base.decoder.onnx'
    """
    return path.with_name(f"{path.name.removesuffix('.onnx')}.{role}.onnx")


def _entry(role: GraphRole) -> dict[str, Any]:
    entry: dict[str, Any] = {"role": role.role}
    if role.file:
        entry["file"] = role.file
    entry["outputs"] = list(role.outputs)
    if role.per_token:
        entry["per_token"] = True
    if role.states:
        entry["states"] = [
            {
                "input": state.input,
                "output": state.output,
                "shape": list(state.shape),
                "type": state.type,
                "value": state.value,
            }
            for state in role.states
        ]
    return entry


def _role(row: Mapping[str, Any]) -> GraphRole:
    return GraphRole(
        role=str(row["role"]),
        outputs=tuple(str(name) for name in row["outputs"]),
        per_token=bool(row.get("per_token", False)),
        states=tuple(_state(state) for state in row.get("states", ())),
        file=str(row.get("file", "")),
    )


def _state(row: Mapping[str, Any]) -> State:
    shape = tuple(size if size == BATCH else int(size) for size in row["shape"])
    state = State(
        str(row["input"]), str(row["output"]), shape, str(row["type"]), float(row["value"])
    )
    if state.type not in _TYPES or any(size != BATCH and int(size) < 0 for size in shape):
        raise ValueError(f"state {state.input} is of type {state.type} and shape {shape}")
    return state
