"""What an artifact says about itself."""

from __future__ import annotations

from typing import ClassVar

import onnx
import pytest

from quantkit.errors import ModelError
from quantkit.graph.info import ArtifactInfo, checked_plan, info_of, set_info
from quantkit.graph.plan import Plan
from quantkit.text.labels import Labels


def test_set_info_replaces_its_own_entries_and_keeps_those_of_others(
    model: onnx.ModelProto,
) -> None:
    model.metadata_props.add(key="author", value="someone")
    set_info(model, ArtifactInfo(name="first", licence="MIT"))
    set_info(model, ArtifactInfo(name="second"))
    entries = {entry.key: entry.value for entry in model.metadata_props}
    assert entries == {"author": "someone", "quantkit.name": "second", "quantkit.opset": "18"}


@pytest.mark.parametrize("key", ["labels", "frontend", "plan"])
@pytest.mark.parametrize("value", ["{", "[1]", '"text"', "7"])
def test_damaged_metadata_is_named(model: onnx.ModelProto, key: str, value: str) -> None:
    model.metadata_props.add(key=f"quantkit.{key}", value=value)
    with pytest.raises(ModelError, match="its quantkit metadata is damaged"):
        info_of(model)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("labels", '{"tokens": [0, 1, 2], "blank": 0, "separator": ""}'),
        ("labels", '{"tokens": ["a"], "blank": 1e999}'),
        ("labels", "[" * 100_000),
        ("labels", '{"classes": [1, 2]}'),
        ("frontend", '{"kind": "waveform", "sample_rate": 16000, "window": 1, "fused": "no"}'),
        ("frontend", '{"a":' * 1000 + "1" + "}" * 1000),
        ("plan", "[" * 100_000),
        ("vocabulary", "[" * 100_000),
        ("vocabulary", "9" * 5000),
    ],
)
def test_metadata_of_the_wrong_type_or_depth_is_named(
    model: onnx.ModelProto, key: str, value: str
) -> None:
    model.metadata_props.add(key=f"quantkit.{key}", value=value)
    with pytest.raises(ModelError, match="its quantkit metadata is damaged"):
        info_of(model)


class TestPlan:
    def info_with(self, plan: dict[str, object]) -> ArtifactInfo:
        return ArtifactInfo(labels=Labels.english(), plan=plan)

    def rows(self, *names: str) -> list[dict[str, str]]:
        return [{"name": name} for name in names]

    def test_of_this_graph(self, model: onnx.ModelProto) -> None:
        plan = {"schema": "quantkit.plan/1", "layers": self.rows("dense")}
        set_info(model, self.info_with(plan))
        assert info_of(model).plan == plan

    def test_a_layer_may_have_become_several_nodes(self, model: onnx.ModelProto) -> None:
        set_info(
            model,
            self.info_with({"schema": "quantkit.plan/1", "layers": self.rows("dense")}),
        )
        model.graph.node[0].name = "dense/product"
        assert info_of(model).plan is not None

    def test_of_another_model(self, model: onnx.ModelProto) -> None:
        plan = {"schema": "quantkit.plan/1", "layers": self.rows("dense", "layer7.conv")}
        set_info(model, self.info_with(plan))
        with pytest.raises(ModelError, match=r"x: its plan is another .*'layer7\.conv'.* has not"):
            info_of(model, "x")

    @pytest.mark.parametrize("schema", ["quantkit.plan/2", "toolkit.plan/1", None, 1])
    def test_of_another_schema(self, model: onnx.ModelProto, schema: object) -> None:
        set_info(model, self.info_with({"schema": schema, "layers": []}))
        with pytest.raises(ModelError, match=r"has schema .*reads 'quantkit\.plan/1': use the"):
            info_of(model)

    @pytest.mark.parametrize("layers", [None, {}, "dense", [3], [{}], [{"name": 3}]])
    def test_without_proper_layers(self, model: onnx.ModelProto, layers: object) -> None:
        set_info(model, self.info_with({"schema": "quantkit.plan/1", "layers": layers}))
        with pytest.raises(ModelError, match=r"plan .*; make the model again"):
            info_of(model)


class TestCheckedPlan:
    ROW: ClassVar[dict[str, object]] = {
        "name": "dense",
        "op": "MatMul",
        "shape": [4, 2],
        "codec": "int8",
        "bits": 8,
        "compute": "static",
    }

    def info(self, *rows: object) -> ArtifactInfo:
        return ArtifactInfo(plan={"schema": "quantkit.plan/1", "layers": [*rows]})

    def test_a_model_may_have_none_or_one_without_layers(self) -> None:
        assert checked_plan(ArtifactInfo()) is None
        assert checked_plan(self.info()) == Plan((), "", "manual")

    def test_every_row_is_read(self) -> None:
        plan = checked_plan(self.info(self.ROW))
        assert plan is not None
        assert [(row.name, row.shape, row.bits) for row in plan.layers] == [("dense", (4, 2), 8)]

    @pytest.mark.parametrize(
        ("field", "value"),
        [("shape", [4, None]), ("shape", 4), ("bits", "8"), ("codec", ["int8"]), ("compute", 1)],
    )
    def test_a_damaged_field_is_named(self, field: str, value: object) -> None:
        with pytest.raises(ModelError, match=f"x: its quantkit metadata is damaged.*{field}"):
            checked_plan(self.info({**self.ROW, field: value}), "x")


def test_what_a_task_has_beside_the_usual_is_kept(model: onnx.ModelProto) -> None:
    set_info(model, ArtifactInfo(task="transducer", extra={"context": "2"}))
    info = info_of(model)
    assert info.extra == {"context": "2"}
    set_info(model, info)
    assert {entry.key for entry in model.metadata_props} == {
        "quantkit.context",
        "quantkit.task",
        "quantkit.opset",
    }
