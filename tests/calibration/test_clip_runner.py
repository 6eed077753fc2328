"""Any values of a model, clip by clip, without a copy of its weights in memory."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from quantkit.calibration.clip_runner import ClipRunner
from quantkit.errors import CorpusError, ModelError, OutputError
from quantkit.graph.artifact import save_model
from quantkit.runtime.session import create_session


def test_values_are_those_of_a_session_over_the_whole_model(model, clips, tmp_path) -> None:
    save_model(model, tmp_path / "model.onnx")
    session = create_session(tmp_path / "model.onnx")
    with closing(ClipRunner(model)) as runner:
        found = list(runner.run(["log_probs", "features", "layer2.relu"], clips))
    assert [clip for clip, _ in found] == [clip for clip, _ in clips]
    for (_, values), (_, feed) in zip(found, clips, strict=True):
        (log_probs,) = session.run(["log_probs"], feed)
        np.testing.assert_allclose(values["log_probs"], log_probs, atol=1e-5)
        np.testing.assert_array_equal(values["features"], feed["features"])
        assert values["layer2.relu"].shape[1] == 24


@pytest.mark.parametrize("stages", [1, 2, 3, 50])
def test_stages_bring_every_value_once_and_in_order(stages, model, clips) -> None:
    names = ["log_probs", "layer2.relu", "features", "layer1.out", "layer3.out"]
    with closing(ClipRunner(model)) as runner:
        whole = list(runner.run(names, clips))
        shown = list(runner.run_in_stages(names, clips, stages))
    for clip, expected in whole:
        mine = [stage for stage in shown if stage.clip == clip]
        assert sum(stage.share for stage in mine) == pytest.approx(1.0)
        assert len(mine) <= stages
        computed = [name for stage in mine for name in stage.values]
        assert computed == ["features", "layer1.out", "layer2.relu", "layer3.out", "log_probs"]
        for stage in mine:
            for name, values in stage.values.items():
                np.testing.assert_allclose(values, expected[name], atol=1e-5)


def test_each_stage_hears_all_clips_before_the_next(model, clips) -> None:
    names = ["layer1.out", "log_probs"]
    with closing(ClipRunner(model)) as runner:
        shown = [(next(iter(s.values)), s.clip) for s in runner.run_in_stages(names, clips, 2)]
    assert shown == [(name, clip) for name in names for clip, _ in clips]


def test_what_crosses_between_stages_may_lie_on_disk(model, clips, monkeypatch) -> None:
    names = ["layer1.out", "layer2.relu", "log_probs"]
    with closing(ClipRunner(model)) as runner:
        expected = [s.values for s in runner.run_in_stages(names, clips, 3)]
        monkeypatch.setattr("quantkit.calibration.clip_runner._CROSSING_BYTES", 0)
        found = [s.values for s in runner.run_in_stages(names, clips, 3)]
    for one, other in zip(expected, found, strict=True):
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name])


def test_stages_of_inputs_alone(model, clips) -> None:
    with closing(ClipRunner(model)) as runner:
        (stage,) = runner.run_in_stages(["features"], clips[:1], 3)
        assert (stage.clip, list(stage.values), stage.share) == ("clip0", ["features"], 1.0)
        with pytest.raises(CorpusError, match="at least one clip"):
            list(runner.run_in_stages(["log_probs"], [], 2))


def test_further_nodes_and_constants_are_there_for_one_run(model, clips) -> None:
    before = model.SerializeToString(deterministic=True)
    factor = np.full((1, 24, 1), 3.0, np.float32)
    product = helper.make_node("Mul", ["layer1.out", "factor"], ["product"])
    size = helper.make_node("Size", ["product"], ["size"])
    with closing(ClipRunner(model)) as runner:
        tensors = [numpy_helper.from_array(factor, "factor")]
        run = runner.run(
            ["product", "layer1.out", "size"], clips, nodes=[product, size], tensors=tensors
        )
        for _, values in run:
            np.testing.assert_allclose(values["product"], 3 * values["layer1.out"], rtol=1e-6)
            assert values["size"] == values["product"].size
        with pytest.raises(ModelError, match="product"):
            next(runner.run(["product"], clips))
    assert model.SerializeToString(deterministic=True) == before


def test_nodes_that_nobody_asks_for_are_not_run(model, clips) -> None:
    broken = next(node for node in model.graph.node if node.name == "layer4.conv")
    broken.op_type, broken.domain = "Nonsense", "nowhere"
    model.opset_import.append(helper.make_opsetid("nowhere", 1))
    with closing(ClipRunner(model)) as runner:
        assert len(list(runner.run(["layer3.out"], clips))) == len(clips)
        with pytest.raises(ModelError, match=r"the model does not load.*Nonsense"):
            next(runner.run(["layer5.out"], clips))


def test_inputs_alone_need_no_session(model, clips) -> None:
    with closing(ClipRunner(model)) as runner:
        ((_, values),) = runner.run(["features"], clips[:1])
    assert list(values) == ["features"]


def test_temporary_files_are_gone_afterwards(model, clips, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with closing(ClipRunner(model)) as runner:
        list(runner.run(["log_probs"], clips))
        assert list(tmp_path.rglob("*.onnx"))
    assert not list(tmp_path.iterdir())


def test_clip_without_an_input_is_named(model, clips) -> None:
    with (
        closing(ClipRunner(model)) as runner,
        pytest.raises(ModelError, match="calibration clip mute"),
    ):
        list(runner.run(["log_probs"], [("mute", {"features": clips[0][1]["features"]})]))


def test_no_clip_at_all(model) -> None:
    with (
        closing(ClipRunner(model)) as runner,
        pytest.raises(CorpusError, match="at least one clip"),
    ):
        list(runner.run(["log_probs"], []))


def test_full_disk_is_reported(model, tmp_path, monkeypatch) -> None:
    def full(*_arguments, **_options) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OutputError, match=r"No space left on device; make room there"):
        ClipRunner(model)
    assert not list(tmp_path.iterdir())
