"""Calibration runs clip by clip, at true length, and refuses what is not finite."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from quantkit.errors import CorpusError, ModelError
from quantkit.quantize.calibrate import calibrate

TENSORS = {"layer1.relu": "layer1.conv", "layer0.masked": "layer1.conv"}


def test_ranges_are_those_of_the_clips(model, clips) -> None:
    done: list[str] = []
    ranges = calibrate(model, TENSORS, iter(clips), progress=done.append)
    values = np.concatenate([feed["features"].ravel() for _, feed in clips])
    assert ranges["layer0.masked"].lowest == values.min()
    assert ranges["layer0.masked"].highest == values.max()
    assert ranges["layer1.relu"].lowest == 0.0
    assert done == ["clip0", "clip1", "clip2", "clip3"]


def test_graph_inputs_can_be_followed_too(model, clips) -> None:
    ranges = calibrate(model, {"features": "layer1.conv"}, clips)
    assert ranges["features"].highest == max(feed["features"].max() for _, feed in clips)


def test_clips_are_pulled_one_at_a_time(model, clips) -> None:
    alive = 0

    def stream():
        nonlocal alive
        for clip in clips:
            alive += 1
            yield clip
            alive -= 1
            assert alive == 0

    calibrate(model, TENSORS, stream(), method="percentile", percentile=99.9)


def test_model_is_not_changed(model, clips) -> None:
    before = model.SerializeToString(deterministic=True)
    calibrate(model, TENSORS, clips)
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_activations_that_are_not_finite_name_layer_and_clip(bad, model, clips) -> None:
    bias = next(t for t in model.graph.initializer if t.name == "b2")
    value = onnx.numpy_helper.to_array(bias).copy()
    value[3] = bad
    bias.CopyFrom(onnx.numpy_helper.from_array(value, "b2"))
    with pytest.raises(ModelError, match=r"layer layer2\.conv: .*NaN or infinite on clip clip0"):
        calibrate(model, {"layer2.out": "layer2.conv"}, clips)


def test_no_clip_at_all(model) -> None:
    with pytest.raises(CorpusError, match="at least one clip"):
        calibrate(model, TENSORS, [])


def test_clip_that_the_model_refuses_is_named(model, clips) -> None:
    wrong = {"features": np.zeros((1, 9, 13), np.float32), "lengths": np.array([9])}
    with pytest.raises(ModelError, match="fails on calibration clip mfcc"):
        calibrate(model, TENSORS, [*clips, ("mfcc", wrong)])
