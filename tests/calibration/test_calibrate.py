"""Calibration runs clip by clip, at true length, and refuses what is not finite."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from quantkit.calibration.calibrate import Watched, calibrate
from quantkit.calibration.ranges import MinMax, Moments
from quantkit.errors import CorpusError, ModelError

TENSORS = {"layer1.relu": "layer1.conv", "layer0.masked": "layer1.conv"}


def watched(tensors: dict[str, str] = TENSORS) -> dict[str, Watched]:
    return {value: Watched(layer, (MinMax(),)) for value, layer in tensors.items()}


def test_ranges_are_those_of_the_clips(model, clips) -> None:
    done: list[float] = []
    tensors = watched()
    calibrate(model, tensors, iter(clips), advance=done.append)
    ranges = {value: each.trackers[0].result() for value, each in tensors.items()}
    values = np.concatenate([feed["features"].ravel() for _, feed in clips])
    assert ranges["layer0.masked"].lowest == values.min()
    assert ranges["layer0.masked"].highest == values.max()
    assert ranges["layer1.relu"].lowest == 0.0
    assert sum(done) == pytest.approx(len(clips))


def test_graph_inputs_can_be_followed_too(model, clips) -> None:
    range_of_input = MinMax()
    calibrate(model, {"features": Watched("layer1.conv", (range_of_input,))}, clips)
    assert range_of_input.result().highest == max(feed["features"].max() for _, feed in clips)


def test_clips_are_pulled_one_at_a_time(model, clips) -> None:
    alive = 0

    def stream():
        nonlocal alive
        for clip in clips:
            alive += 1
            yield clip
            alive -= 1
            assert alive == 0

    calibrate(model, watched(), stream())


def test_model_is_not_changed(model, clips) -> None:
    before = model.SerializeToString(deterministic=True)
    calibrate(model, watched(), clips)
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_activations_that_are_not_finite_name_layer_and_clip(bad, model, clips) -> None:
    bias = next(t for t in model.graph.initializer if t.name == "b2")
    value = onnx.numpy_helper.to_array(bias).copy()
    value[3] = bad
    bias.CopyFrom(onnx.numpy_helper.from_array(value, "b2"))
    with pytest.raises(ModelError, match=r"layer layer2\.conv: .*NaN or infinite on clip clip0"):
        calibrate(model, watched({"layer2.out": "layer2.conv"}), clips)


def test_no_clip_at_all(model) -> None:
    with pytest.raises(CorpusError, match="at least one clip"):
        calibrate(model, watched(), [])


def test_clip_that_the_model_refuses_is_named(model, clips) -> None:
    wrong = {"features": np.zeros((1, 9, 13), np.float32), "lengths": np.array([9])}
    with pytest.raises(ModelError, match="fails on calibration clip mfcc"):
        calibrate(model, watched(), [*clips, ("mfcc", wrong)])


def test_every_tracker_of_a_tensor_sees_every_clip(model, clips) -> None:
    extremes, energy = MinMax(), Moments(axis=-1)
    calibrate(model, {"features": Watched("layer1.conv", (extremes, energy))}, clips)
    frames = np.concatenate([feed["features"][0] for _, feed in clips])
    np.testing.assert_allclose(energy.mean_square(), np.square(frames).mean(axis=0), rtol=1e-5)
    assert extremes.result().lowest == frames.min()
