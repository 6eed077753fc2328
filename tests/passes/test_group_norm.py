from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from quantkit.passes.group_norm import fold_group_norm


def group_norm(shape_of="c", groups=4):
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "weight"], ["c"], "first", strides=[2]),
        helper.make_node("Reshape", ["c", "grouped"], ["r"]),
        helper.make_node(
            "InstanceNormalization", ["r", "ones", "zeros"], ["n"], "norm", epsilon=1e-3
        ),
        helper.make_node("Shape", [shape_of], ["shape"]),
        helper.make_node("Reshape", ["n", "shape"], ["back"]),
        helper.make_node("Mul", ["back", "gamma"], ["scaled"]),
        helper.make_node("Add", ["beta", "scaled"], ["y"]),
    ]
    constants = {
        "weight": random.standard_normal((4, 1, 3)).astype(np.float32),
        "grouped": np.array([0, groups, -1]),
        "ones": np.full(groups, 2, np.float32),
        "zeros": np.full(groups, 0.5, np.float32),
        "gamma": random.standard_normal((4, 1)).astype(np.float32),
        "beta": random.standard_normal((4, 1)).astype(np.float32),
    }
    return nodes, constants


def test_scale_and_shift_move_into_the_normalisation(build, run):
    model = build(*group_norm(), ["n", 1, "t"])
    x = np.random.default_rng(1).standard_normal((2, 1, 31)).astype(np.float32)
    before = run(model, x)

    assert fold_group_norm(model)

    assert [node.op_type for node in model.graph.node] == ["Conv", "InstanceNormalization"]
    np.testing.assert_allclose(run(model, x), before, rtol=1e-5, atol=1e-5)
    assert not fold_group_norm(model)


def test_groups_of_several_channels_stay(build):
    assert not fold_group_norm(build(*group_norm(groups=2), ["n", 1, "t"]))


@pytest.mark.parametrize("name", ["gamma", "beta"])
def test_a_scale_that_varies_with_time_stays(build, name):
    nodes, constants = group_norm()
    constants[name] = np.ones((4, 15), np.float32)
    assert not fold_group_norm(build(nodes, constants, ["n", 1, 31]))
