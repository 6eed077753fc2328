"""Which graphs an artifact is made of, as its metadata say it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantkit.errors import FormatError
from quantkit.graph.roles import (
    DECODER_KEY,
    GRAPHS_KEY,
    GraphRole,
    State,
    beside,
    roles_from_json,
    roles_in,
    roles_to_json,
    short_form_states,
)

ROLES = (
    GraphRole("encoder", ("encoded",)),
    GraphRole(
        "predictor",
        ("predicted", "last"),
        per_token=True,
        states=(State("previous", "last", ("batch", 1), "int64", 4),),
        file="m.predictor.onnx",
    ),
)


def test_the_list_is_read_as_it_was_written() -> None:
    assert roles_from_json(roles_to_json(ROLES)) == ROLES
    assert roles_in({GRAPHS_KEY: roles_to_json(ROLES)}) == ROLES


def test_it_is_as_long_whatever_the_files_are_called() -> None:
    lengths = {
        len(
            roles_to_json(
                (ROLES[0], replace(ROLES[1], file=beside(Path(name), "predictor").name))
            ).encode()
        )
        for name in ("m.onnx", "a-much-longer-name.onnx", 'wörter "und" mehr.onnx')
    }
    assert len(lengths) == 1


def test_files_are_called_after_the_artifact_and_their_roles() -> None:
    path = beside(Path("folder/user.onnx"), "predictor")
    assert path == Path("folder/user.predictor.onnx")


def test_an_artifact_without_a_list_has_one_graph() -> None:
    assert [role.role for role in roles_in({"quantkit.task": "ctc"})] == ["model"]


def test_the_shorter_form_names_a_decoder() -> None:
    encoder, decoder = roles_in({DECODER_KEY: "m.decoder.onnx"})
    assert (encoder.role, encoder.file) == ("encoder", "")
    assert (decoder.role, decoder.file, decoder.per_token) == ("decoder", "m.decoder.onnx", True)


def test_a_state_begins_with_its_value_for_each_hypothesis() -> None:
    (state,) = ROLES[1].states
    first = state.initial(3)
    assert first.dtype == np.int64
    assert first.tolist() == [[4], [4], [4]]


@pytest.mark.parametrize(
    "damage",
    [
        "[]",
        "{",
        "7",
        '[{"outputs": []}]',
        '[{"role": "a", "outputs": []}, {"role": "a", "outputs": []}]',
        json.dumps([{"role": "a", "outputs": ["x"], "states": [{"input": "s"}]}]),
        json.dumps(
            [
                {
                    "role": "a",
                    "outputs": ["x"],
                    "states": [
                        {"input": "s", "output": "t", "shape": [1], "type": "object", "value": 0}
                    ],
                }
            ]
        ),
    ],
)
def test_a_damaged_list_is_refused(damage: str) -> None:
    with pytest.raises(FormatError, match="the list of graphs"):
        roles_from_json(damage)


def test_states_of_the_shorter_form_are_keys_and_values() -> None:
    inputs = {"tokens": ["batch", "count"], "past.0.key": ["batch", 2, "past", 8]}
    (state,) = short_form_states(inputs)
    assert state == State("past.0.key", "present.0.key", ("batch", 2, 0, 8))
    with pytest.raises(FormatError, match=r"the state past\.0\.key has shape \('batch', 8\)"):
        short_form_states({"past.0.key": ["batch", 8]})
