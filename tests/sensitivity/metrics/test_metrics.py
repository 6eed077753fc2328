"""Every metric against its formula over all clips at once, whatever their order and lengths."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from quantkit.errors import InputError
from quantkit.sensitivity.metrics import METRICS, LayerClip, Metric, metric

LENGTHS = (40, 1, 200, 7)
CHANNELS = 6


def clip_of(outputs, quantized=None, inputs=None) -> LayerClip:
    nothing = np.zeros((0, CHANNELS), np.float32)
    return LayerClip(
        np.asarray(outputs, np.float32),
        nothing if quantized is None else np.asarray(quantized, np.float32),
        nothing if inputs is None else np.asarray(inputs, np.float32),
    )


def speech_like(channels: int = CHANNELS, seed: int = 0) -> list[LayerClip]:
    """Clips of different length, loudness and offset, and quantized outputs close to them."""
    random = np.random.default_rng(seed)
    clips = []
    for number, frames in enumerate(LENGTHS):
        outputs = random.gumbel(0.3 * number, 1.0 + number, (frames, channels))
        quantized = outputs + 0.1 * random.standard_normal((frames, channels))
        inputs = random.standard_normal((2 * frames, 3)) * (1 + number)
        clips.append(clip_of(outputs, quantized, inputs))
    return clips


def measured(name: str, clips: list[LayerClip]) -> float:
    following: Metric = metric(name)()
    for clip in clips:
        following.update(clip)
    return following.result()


def rms_norm(matrix: np.ndarray, order: int | str) -> float:
    return np.linalg.norm(matrix, order) / math.sqrt(len(matrix))


FORMULAS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "mean": lambda y, _, __: y.mean(),
    "max": lambda y, _, __: y.max(),
    "abs-max": lambda y, _, __: np.abs(y).max(),
    "standard-deviation": lambda y, _, __: y.std(),
    "variance": lambda y, _, __: y.var(),
    "normality": lambda y, _, __: stats.jarque_bera(y.ravel()).statistic / y.size,
    "l1": lambda y, q, _: np.abs(q - y).mean(),
    "l2": lambda y, q, _: np.linalg.norm(q - y, axis=1).mean(),
    "frobenius": lambda y, q, _: rms_norm(q - y, "fro"),
    "spectral": lambda y, q, _: rms_norm(q - y, 2),
    "sqnr": lambda y, q, _: 10 * np.log10(np.square(y).sum() / np.square(q - y).sum()),
    "hessian-trace": lambda _, __, x: np.trace(2 * x.T @ x / len(x)) / x.shape[1],
}


@pytest.mark.parametrize("name", FORMULAS)
def test_metric_is_its_formula_over_all_clips_at_once(name: str) -> None:
    clips = speech_like()
    together = (
        np.concatenate([getattr(clip, part) for clip in clips]).astype(np.float64)
        for part in ("outputs", "quantized", "inputs")
    )
    assert measured(name, clips) == pytest.approx(FORMULAS[name](*together), rel=1e-9)


def test_every_metric_is_checked_against_a_formula_here() -> None:
    assert set(METRICS) == {*FORMULAS, "median", "kl"}


@pytest.mark.parametrize("name", METRICS)
def test_order_of_clips_and_where_they_are_cut_do_not_matter(name: str) -> None:
    clips = speech_like()
    halves = [
        LayerClip(*parts)
        for clip in clips
        for parts in zip(
            *(np.array_split(each, 2) for each in (clip.outputs, clip.quantized, clip.inputs)),
            strict=True,
        )
    ]
    expected = measured(name, clips)
    assert expected != 0
    assert measured(name, clips[::-1]) == pytest.approx(expected, rel=1e-9)
    assert measured(name, halves) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_silence_and_nothing_at_all_give_finite_numbers(name: str) -> None:
    silent = clip_of(*[np.zeros((5, CHANNELS))] * 3)
    for clips in ([], [silent], [clip_of(np.zeros((0, CHANNELS)))]):
        assert math.isfinite(measured(name, clips))


@pytest.mark.parametrize("name", METRICS)
def test_one_frame_of_one_channel_is_enough(name: str) -> None:
    assert math.isfinite(measured(name, [clip_of([[0.25]], [[0.5]], [[1.0]])]))


def test_median_is_exact_to_a_fraction_of_the_span() -> None:
    clips = speech_like()
    values = np.concatenate([clip.outputs for clip in clips])
    bin_at_most = float(np.ptp(values)) / 1500
    assert measured("median", clips) == pytest.approx(float(np.median(values)), abs=bin_at_most)
    constant = [clip_of(np.full((9, 2), -1.7))]
    assert measured("median", constant) == np.float32(-1.7)


def test_kl_is_zero_between_equal_outputs_and_grows_with_the_change() -> None:
    random = np.random.default_rng(0)
    outputs = random.standard_normal((4000, CHANNELS))

    def kl(quantized: np.ndarray) -> float:
        return measured("kl", [clip_of(outputs, quantized)])

    assert kl(outputs) == 0.0
    # N(0, 1) from N(m, s²): log s + (1 + m²) / (2 s²) − ½.
    expected = math.log(1.5) + (1 + 0.25) / (2 * 1.5**2) - 0.5
    assert kl(1.5 * random.standard_normal(outputs.shape) + 0.5) == pytest.approx(expected, rel=0.1)
    assert 0 < kl(1.02 * outputs) < kl(1.2 * outputs) < kl(1.5 * outputs)


def test_kl_bears_outputs_that_share_no_bin() -> None:
    outputs = np.random.default_rng(0).standard_normal((100, CHANNELS))
    assert 1 < measured("kl", [clip_of(outputs, outputs + 1e6)]) < 20


def test_spectral_distance_of_many_channels_is_close_and_never_above() -> None:
    random = np.random.default_rng(0)
    # What quantizing a weight leaves: a random mixture of correlated inputs.
    inputs = random.standard_normal((500, 300)) * np.geomspace(1, 0.01, 300)
    error = inputs @ random.standard_normal((300, 300))
    found = measured("spectral", [clip_of(0 * error, error)])
    assert 0.97 * rms_norm(error, 2) < found <= rms_norm(error, 2) * (1 + 1e-6)


def test_l2_spectral_and_frobenius_are_ordered_as_norms_are() -> None:
    clips = speech_like()
    spectral, l2, frobenius = (measured(name, clips) for name in ("spectral", "l2", "frobenius"))
    assert spectral < frobenius < spectral * math.sqrt(CHANNELS)
    assert l2 < frobenius


def test_moments_far_from_zero_are_not_cancelled() -> None:
    random = np.random.default_rng(0)
    far = [clip_of(1e4 + random.standard_normal((1000, 4)).astype("f")) for _ in range(3)]
    values = np.concatenate([clip.outputs for clip in far]).astype(np.float64)
    assert measured("variance", far) == pytest.approx(values.var(), rel=1e-9)
    expected = stats.jarque_bera(values.ravel()).statistic / values.size
    assert measured("normality", far) == pytest.approx(expected, rel=1e-6)
    assert measured("normality", [clip_of(np.full((1000, 4), 0.1))]) == 0.0


def test_only_a_high_sqnr_says_that_a_layer_bears_much() -> None:
    less = [name for name, each in METRICS.items() if not each.more_is_sensitive]
    assert less == ["sqnr"]
    outputs = np.random.default_rng(0).standard_normal((50, CHANNELS))
    assert measured("sqnr", [clip_of(outputs, 1.1 * outputs)]) == pytest.approx(20.0, abs=1e-4)
    assert measured("sqnr", [clip_of(outputs, outputs)]) == pytest.approx(144.5, abs=0.01)
    assert measured("sqnr", [clip_of(0 * outputs, outputs)]) == 0.0


def test_metric_that_does_not_exist() -> None:
    with pytest.raises(InputError, match="unknown metric 'mode'; choose one of median, mean"):
        metric("mode")
