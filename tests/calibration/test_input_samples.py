"""Rows sampled from a stream: even, repeatable, and as many as there is room for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from quantkit.calibration.input_samples import ROWS, InputSamples, input_samples
from quantkit.calibration.patches import patches
from quantkit.graph.editor import copy_node
from quantkit.graph.operators import Geometry

MATRIX = Geometry("x", inputs=2)
CONVOLUTION = Geometry(
    "x",
    inputs=6,
    groups=2,
    axis=1,
    kernel=(3,),
    strides=(2,),
    dilations=(1,),
    padding=((1, 1),),
)


def numbered(count: int, start: int = 0) -> np.ndarray:
    """Rows whose first value is their number."""
    numbers = np.arange(start, start + count, dtype=np.float32)
    return np.stack([numbers, -numbers], axis=1)[None]


def kept(samples: InputSamples) -> list[int]:
    return samples.rows()[0, :, 0].astype(int).tolist()


def test_a_short_stream_is_kept_whole_and_in_order() -> None:
    samples = InputSamples(MATRIX, capacity=150)
    samples.update(numbered(100))
    samples.update(numbered(50, start=100))
    np.testing.assert_array_equal(samples.rows(), numbered(150))


@pytest.mark.parametrize("count", [1_000, 12_345, 300_000])
def test_rows_lie_evenly_over_a_stream_of_any_length(count: int) -> None:
    samples = InputSamples(MATRIX)
    for start in range(0, count, 5_000):
        samples.update(numbered(min(5_000, count - start), start))
    rows = kept(samples)
    assert len(rows) == ROWS
    gaps = [later - earlier for earlier, later in pairwise([0, *rows, count])]
    # Three distances only, the largest the sum of the two others.
    assert max(gaps) <= 3 * count / ROWS
    assert len(set(gaps[1:-1])) <= 3


def test_which_rows_are_kept_does_not_depend_on_where_clips_begin() -> None:
    def sample(chunks: list[int]) -> list[int]:
        samples = InputSamples(MATRIX, capacity=16)
        start = 0
        for size in chunks:
            samples.update(numbered(size, start))
            start += size
        return kept(samples)

    assert sample([1_000]) == sample([1] * 20 + [300, 0, 680]) == sample([999, 1])


@pytest.mark.parametrize("period", [2, 8, 40, 64, 80])
def test_no_phase_of_a_period_is_preferred(period: int) -> None:
    samples = InputSamples(MATRIX, capacity=8 * period)
    samples.update(numbered(1_000 * period))
    phases = np.bincount(np.array(kept(samples)) % period, minlength=period)
    assert phases.min() >= 4
    assert phases.max() <= 12


def test_rows_of_a_grouped_convolution_are_its_patches() -> None:
    random = np.random.default_rng(0)
    clips = [random.standard_normal((1, 4, n)).astype(np.float32) for n in (9, 30, 4)]
    samples = InputSamples(CONVOLUTION)
    for clip in clips:
        samples.update(clip)
    expected = np.concatenate([patches(clip, CONVOLUTION) for clip in clips])
    np.testing.assert_array_equal(samples.rows(), expected.swapaxes(0, 1))


def test_very_wide_kernels_get_fewer_rows() -> None:
    wide = Geometry("x", inputs=1 << 17)
    assert InputSamples(wide).capacity == 32 < ROWS
    assert InputSamples(Geometry("x", inputs=1 << 25)).capacity == 1


def test_nothing_seen() -> None:
    assert InputSamples(CONVOLUTION).rows().shape == (2, 0, 3 * 2)


def test_layers_that_read_the_same_input_share_a_sample(model) -> None:
    nodes = {node.name: node for node in model.graph.node}
    twin = copy_node(nodes["layer2.conv"])
    twin.name, twin.output[0] = "twin", "twin.out"
    model.graph.node.append(twin)
    samples = input_samples(model, ["layer2.conv", "twin", "layer3.conv", "log_probs"])
    assert samples.keys() == {"layer2.conv", "twin", "layer3.conv"}
    assert samples["layer2.conv"] is samples["twin"]
    assert samples["layer2.conv"] is not samples["layer3.conv"]
