"""What somebody's graphs take and give, as metadata and as nodes around them."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import FormatError, ModelError
from quantkit.graph.interface import Declared
from quantkit.graph.translating import give_back, set_kept, translate, translations_of
from quantkit.graph.translation import (
    TRANSLATIONS_KEY,
    Step,
    Translation,
    Translations,
    translations_in,
)
from quantkit.runtime.translated_session import TranslatedSession, run_steps

GIVEN = np.arange(6, dtype=np.float32).reshape(1, 2, 3)


def original() -> onnx.ModelProto:
    """``logit`` = 2 · ``x`` (columns, rows), and a count that nobody reads."""
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["logit"], "product"),
        helper.make_node("Identity", ["length"], ["count"], "count"),
    ]
    graph = helper.make_graph(
        nodes,
        "joiner",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3, "columns"]),
            helper.make_tensor_value_info("length", TensorProto.INT32, ["rows"]),
        ],
        [
            helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["rows", 3, "columns"]),
            helper.make_tensor_value_info("count", TensorProto.INT32, ["rows"]),
        ],
        [numpy_helper.from_array(np.float32(2.0), "two")],
    )
    opset = helper.make_opsetid("", 18)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8)


TRANSLATION = Translation(
    "joiner",
    "joiner.onnx",
    (
        Declared.of("x", "float32", "rows", 3, "columns"),
        Declared.of("length", "int32", "rows"),
    ),
    (
        Declared.of("logit", "float32", "rows", 3, "columns"),
        Declared.of("count", "int32", "rows"),
    ),
    takes=(Declared.of("features", "float32", "rows", "columns", 3),),
    gives=(
        Declared.of("log_probs", "float32", "rows", "columns", 3),
        Declared.of("passed_on", "int32", "rows"),
    ),
    before=(
        Step("transpose", ("features",), ("joiner.x",), (0, 2, 1)),
        Step("equal", ("features", "features"), ("adopted.joiner.ones",)),
        Step("cast", ("adopted.joiner.ones",), ("adopted.joiner.whole",), type="int32"),
        Step("split", ("adopted.joiner.whole",), ("adopted.joiner.a", "adopted.joiner.b"), (1, 2)),
        Step("concat", ("adopted.joiner.b", "adopted.joiner.a"), ("adopted.joiner.c",)),
        Step("unsqueeze", ("adopted.joiner.c",), ("adopted.joiner.d",), (0,)),
        Step("squeeze", ("adopted.joiner.d",), ("adopted.joiner.e",), (0, 1)),
        Step("transpose", ("adopted.joiner.e",), ("adopted.joiner.f",), (1, 0)),
        Step("cast", ("adopted.joiner.f",), ("adopted.joiner.g",), type="int64"),
        Step("split", ("adopted.joiner.g",), ("adopted.joiner.h", "adopted.joiner.i"), (1, 1)),
        # Rows 1, 1 and 1 of three.
        Step("rows", ("adopted.joiner.f", "adopted.joiner.h"), ("adopted.joiner.j",)),
        Step("split", ("adopted.joiner.j",), ("adopted.joiner.k", "adopted.joiner.l"), (1, 1)),
        Step("transpose", ("adopted.joiner.k",), ("adopted.joiner.m",), (1, 0)),
        Step("split", ("adopted.joiner.m",), ("adopted.joiner.n", "adopted.joiner.o"), (1, 2)),
        Step("squeeze", ("adopted.joiner.n",), ("joiner.length",), (1,)),
    ),
    behind=(
        Step("transpose", ("joiner.logit",), ("adopted.joiner.scores",), (0, 2, 1)),
        Step("log_softmax", ("adopted.joiner.scores",), ("log_probs",)),
        Step("identity", ("joiner.count",), ("passed_on",)),
    ),
    metadata={"vocab_size": "3"},
)


def entries(model: onnx.ModelProto) -> None:
    entry = Translations((TRANSLATION,)).to_json()
    helper.set_model_props(model, {TRANSLATIONS_KEY: entry})


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString())


def test_the_metadata_are_read_as_they_were_written() -> None:
    found = Translations((TRANSLATION,), kept=True)
    assert Translations.from_json(found.to_json()) == found
    assert translations_in({TRANSLATIONS_KEY: found.to_json()}) == found
    assert translations_in({}) is None
    assert found.of("joiner") == TRANSLATION
    with pytest.raises(FormatError, match="what its predictor takes"):
        found.of("predictor")


@pytest.mark.parametrize("text", ["", "[]", '{"graphs": [{"role": 3}]}', '{"graphs": 1}'])
def test_damaged_metadata_are_refused(text: str) -> None:
    with pytest.raises(FormatError, match="not readable"):
        Translations.from_json(text)


def test_steps_of_an_unknown_kind_are_refused() -> None:
    content = json.loads(Translations((TRANSLATION,)).to_json())
    content["graphs"][0]["before"][0]["kind"] = "exec"
    with pytest.raises(FormatError, match="kind"):
        Translations.from_json(json.dumps(content))


def test_nodes_and_numpy_make_the_same_of_the_same() -> None:
    model = original()
    translate(model, TRANSLATION)
    assert [value.name for value in model.graph.input] == ["features"]
    names = [value.name for value in model.graph.output]
    theirs = TranslatedSession(session(original()), TRANSLATION)
    assert [value.name for value in theirs.get_outputs()] == names
    expected = session(model).run(names, {"features": GIVEN})
    for one, other in zip(theirs.run(names, {"features": GIVEN}), expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_what_is_given_back_is_the_original() -> None:
    model = original()
    translate(model, TRANSLATION)
    give_back(model, TRANSLATION)
    before = original().graph
    assert [*model.graph.input] == [*before.input]
    assert [*model.graph.output] == [*before.output]
    assert [*model.graph.node] == [*before.node]
    assert [*model.graph.initializer] == [*before.initializer]
    assert {entry.key: entry.value for entry in model.metadata_props} == {"vocab_size": "3"}


def test_an_output_that_is_gone_cannot_be_given_back() -> None:
    model = original()
    translate(model, TRANSLATION)
    del model.graph.node[-1]
    with pytest.raises(ModelError, match="the output count of the original's joiner"):
        give_back(model, TRANSLATION)


def test_only_a_model_of_a_folder_can_be_given_back() -> None:
    model = original()
    with pytest.raises(ModelError, match="not made of somebody's folder"):
        set_kept(model, kept=True)
    entries(model)
    set_kept(model, kept=True)
    found = translations_of(model)
    assert found is not None
    assert found.kept


def test_all_steps_know_their_values() -> None:
    made = run_steps(TRANSLATION.before, {"features": GIVEN})
    np.testing.assert_array_equal(made["joiner.x"], GIVEN.transpose(0, 2, 1))
    assert made["joiner.length"].tolist() == [1]
