"""Steps on one model and the same clips hear them once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quantkit.calibration.calibrate import Feed
from quantkit.calibration.feeds import Feeds
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import read_info
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.calibration_cache import CalibrationCache
from quantkit.quantization.choices.fitting import Fitting
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import DivergenceSettings

FOUR_BITS = CodecChoice.parse("bitplane:4")
SETTINGS = QuantizeSettings(compute="static", codec=FOUR_BITS)


class Counted:
    """Clips that count how often they are gone through."""

    def __init__(self, clips: list[Feed]) -> None:
        self.clips = clips
        self.rounds = 0

    def __iter__(self) -> Iterator[Feed]:
        self.rounds += 1
        return iter(self.clips)


@pytest.fixture
def counted(clips) -> Counted:
    return Counted(list(clips))


def rounds_of(counted: Counted, feeds: Feeds, source: Path, to: Path, **options) -> int:
    """How often the clips are gone through to quantize ``source``."""
    # What is known of the clips themselves is asked for anyway.
    feeds.digest()
    before = counted.rounds
    quantize_model(source, to, options.pop("settings", SETTINGS), feeds, **options)
    return counted.rounds - before


def test_what_was_heard_is_not_heard_again(source, counted, tmp_path) -> None:
    feeds, shared = Feeds.of(counted, read_info(source)), CalibrationCache()
    assert rounds_of(counted, feeds, source, tmp_path / "first.onnx", shared=shared) == 1
    assert rounds_of(counted, feeds, source, tmp_path / "second.onnx", shared=shared) == 0
    assert rounds_of(counted, feeds, source, tmp_path / "alone.onnx") == 1
    made = {(tmp_path / f"{name}.onnx").read_bytes() for name in ("first", "second", "alone")}
    assert len(made) == 1


def test_an_analysis_hears_what_quantizing_needs(source, counted, tmp_path) -> None:
    feeds, shared = Feeds.of(counted, read_info(source)), CalibrationCache()
    divergence = DivergenceSettings((FOUR_BITS, CodecChoice.parse("grouped:2")))
    analyze(source, feeds, AnalysisSettings((), divergence=divergence), shared=shared)
    assert rounds_of(counted, feeds, source, tmp_path / "shared.onnx", shared=shared) == 0


def test_only_what_is_missing_is_heard(source, counted, tmp_path) -> None:
    feeds, shared = Feeds.of(counted, read_info(source)), CalibrationCache()
    rounds_of(counted, feeds, source, tmp_path / "one.onnx", shared=shared)
    entropy = QuantizeSettings(compute="static", codec=FOUR_BITS, range="entropy")
    options = {"settings": entropy, "shared": shared}
    assert rounds_of(counted, feeds, source, tmp_path / "two.onnx", **options) == 1
    rounds_of(counted, feeds, source, tmp_path / "alone.onnx", settings=entropy)
    assert (tmp_path / "two.onnx").read_bytes() == (tmp_path / "alone.onnx").read_bytes()


def test_other_clips_are_heard_anew(source, counted, tmp_path) -> None:
    shared = CalibrationCache()
    rounds_of(
        counted, Feeds.of(counted, read_info(source)), source, tmp_path / "a.onnx", shared=shared
    )
    fewer = Counted(counted.clips[:1])
    feeds = Feeds.of(fewer, read_info(source))
    assert rounds_of(fewer, feeds, source, tmp_path / "b.onnx", shared=shared) == 1


def test_another_model_is_heard_anew(source, counted, tmp_path) -> None:
    feeds, shared = Feeds.of(counted, read_info(source)), CalibrationCache()
    rounds_of(counted, feeds, source, tmp_path / "plain.onnx", shared=shared)
    # Equalization changes the float model before it is heard.
    equalized = Fitting(equalization=True)
    found = rounds_of(
        counted, feeds, source, tmp_path / "equalized.onnx", shared=shared, fitting=equalized
    )
    rounds_of(counted, feeds, source, tmp_path / "alone.onnx", fitting=equalized)
    assert found >= 1
    assert (tmp_path / "equalized.onnx").read_bytes() == (tmp_path / "alone.onnx").read_bytes()


def test_what_equalization_looked_at_is_not_looked_at_again(source, counted, tmp_path) -> None:
    feeds, shared = Feeds.of(counted, read_info(source)), CalibrationCache()
    options = {"fitting": Fitting(equalization=True)}
    first, second, alone = (tmp_path / f"{name}.onnx" for name in ("first", "second", "alone"))
    heard = rounds_of(counted, feeds, source, first, shared=shared, **options)
    # Once for the channels of both sides, once for the ranges of what that leads to.
    assert heard == rounds_of(counted, feeds, source, alone, **options) == 2
    assert rounds_of(counted, feeds, source, second, shared=shared, **options) == 0
    assert first.read_bytes() == second.read_bytes() == alone.read_bytes()
