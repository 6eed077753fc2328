from __future__ import annotations

import math

import numpy as np
from onnx import helper

from quantkit.passes import finish, optimise


def test_names_tell_which_passes_changed_the_model(build):
    constants = {
        "root": np.float32(math.sqrt(2.0)),
        "one": np.float32(1.0),
        "half": np.float32(0.5),
    }
    nodes = [
        helper.make_node("Div", ["x", "root"], ["scaled"]),
        helper.make_node("Erf", ["scaled"], ["erf"]),
        helper.make_node("Add", ["erf", "one"], ["plus"]),
        helper.make_node("Mul", ["half", "plus"], ["halved"]),
        helper.make_node("Mul", ["x", "halved"], ["y"]),
    ]
    model = build(nodes, constants, ["n", 3])
    assert optimise(model, skip=["canonical_gelu"]) == ()
    assert optimise(model) == ("canonical_gelu",)
    assert optimise(model) == ()
    assert finish(model) == ()
