"""What is compared with the record, and what counts as a difference."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from benchmarks import same_bytes
from benchmarks.same_bytes import changes, digests, intended, steps
from quantkit.codecs.catalogue import NAMES
from quantkit.graph.artifact import save_model
from tests.small_model import masked_convolutions


def test_each_codec_is_written_by_one_step_at_least() -> None:
    words = " ".join(" ".join(step.arguments) for step in steps())
    # Of float32 there is a whole file.
    assert {name for name in NAMES if name not in words} <= {"float32"}


def test_names_of_steps_are_unique() -> None:
    names = [step.name for step in steps()]
    assert len(names) == len({*names})


def test_metadata_and_content_are_told_apart(tmp_path: Path) -> None:
    model = masked_convolutions()
    save_model(model, tmp_path / "a.onnx")
    onnx.helper.set_model_props(model, {"quantkit.name": "another"})
    save_model(model, tmp_path / "b.onnx")
    model.graph.node[0].name += "x"
    save_model(model, tmp_path / "c.onnx")
    one, renamed, other = (digests(tmp_path / f"{name}.onnx") for name in "abc")
    ((_, said),) = changes({"step": one}, {"step": renamed})
    assert said.startswith("metadata only")
    ((_, said),) = changes({"step": renamed}, {"step": other})
    assert said.startswith("the content")
    assert not list(changes({"step": one}, {"step": one}))
    assert list(changes({}, {"new": one})) == [("new", "was not recorded")]


def test_a_change_that_was_meant_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_bytes, "INTENDED", {"plan *": "better plans"})
    assert intended("plan 3MB") == "better plans"
    assert intended("preset int8") == ""
