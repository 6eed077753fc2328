"""Steps on one prepared model run the same clips through it once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quantkit.calibration.calibrate import Feed
from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import DivergenceSettings

FOUR_BITS = CodecChoice.parse("bitplane:4")
SETTINGS = QuantizeSettings(compute="static", codec=FOUR_BITS)


class Counted:
    """Clips that count how often they are gone through to the last one."""

    def __init__(self, clips: list[Feed]) -> None:
        self.clips = clips
        self.rounds = 0

    def __iter__(self) -> Iterator[Feed]:
        yield from self.clips
        self.rounds += 1


@pytest.fixture
def counted(clips) -> Counted:
    return Counted(list(clips))


def rounds_of(
    counted: Counted, feeds: CalibrationData, source: Path | PreparedModel, to: Path, **options
) -> int:
    """How often the clips are gone through to quantize ``source``."""
    # What is known of the clips themselves is asked for anyway.
    feeds.digest()
    before = counted.rounds
    quantize_model(source, to, options.pop("settings", SETTINGS), feeds, **options)
    return counted.rounds - before


def test_what_was_heard_is_not_heard_again(source, counted, tmp_path) -> None:
    prepared = PreparedModel(source)
    feeds = prepared.feeds(counted)
    assert rounds_of(counted, feeds, prepared, tmp_path / "first.onnx") == 1
    assert rounds_of(counted, feeds, prepared, tmp_path / "second.onnx") == 0
    assert rounds_of(counted, feeds, source, tmp_path / "alone.onnx") == 1
    made = {(tmp_path / f"{name}.onnx").read_bytes() for name in ("first", "second", "alone")}
    assert len(made) == 1


@pytest.mark.slow
def test_an_analysis_hears_what_quantizing_needs(source, counted, tmp_path) -> None:
    prepared = PreparedModel(source)
    feeds = prepared.feeds(counted)
    divergence = DivergenceSettings((FOUR_BITS, CodecChoice.parse("grouped:2")))
    analyze(prepared, feeds, AnalysisSettings((), divergence=divergence))
    assert rounds_of(counted, feeds, prepared, tmp_path / "shared.onnx") == 0


def test_only_what_is_missing_is_heard(source, counted, tmp_path) -> None:
    prepared = PreparedModel(source)
    feeds = prepared.feeds(counted)
    rounds_of(counted, feeds, prepared, tmp_path / "one.onnx")
    entropy = QuantizeSettings(compute="static", codec=FOUR_BITS, range="entropy")
    found = rounds_of(counted, feeds, prepared, tmp_path / "two.onnx", settings=entropy)
    assert found == 1
    rounds_of(counted, feeds, source, tmp_path / "alone.onnx", settings=entropy)
    assert (tmp_path / "two.onnx").read_bytes() == (tmp_path / "alone.onnx").read_bytes()


def test_other_clips_are_heard_anew(source, counted, tmp_path) -> None:
    prepared = PreparedModel(source)
    rounds_of(counted, prepared.feeds(counted), prepared, tmp_path / "a.onnx")
    fewer = Counted(counted.clips[:1])
    assert rounds_of(fewer, prepared.feeds(fewer), prepared, tmp_path / "b.onnx") == 1


@pytest.mark.slow
def test_another_model_is_heard_anew(source, counted, tmp_path) -> None:
    prepared = PreparedModel(source)
    feeds = prepared.feeds(counted)
    rounds_of(counted, feeds, prepared, tmp_path / "plain.onnx")
    # Equalization changes the float model before it is heard.
    equalized = PtqSettings(equalization=True)
    found = rounds_of(counted, feeds, prepared, tmp_path / "equalized.onnx", fitting=equalized)
    rounds_of(counted, feeds, source, tmp_path / "alone.onnx", fitting=equalized)
    assert found >= 1
    assert (tmp_path / "equalized.onnx").read_bytes() == (tmp_path / "alone.onnx").read_bytes()


def test_what_equalization_looked_at_is_not_looked_at_again(source, counted, tmp_path) -> None:
    prepared = PreparedModel(source)
    feeds = prepared.feeds(counted)
    options = {"fitting": PtqSettings(equalization=True)}
    first, second, alone = (tmp_path / f"{name}.onnx" for name in ("first", "second", "alone"))
    heard = rounds_of(counted, feeds, prepared, first, **options)
    # Once for the channels of both sides, once for the ranges of what that leads to.
    assert heard == rounds_of(counted, feeds, source, alone, **options) == 2
    assert rounds_of(counted, feeds, prepared, second, **options) == 0
    assert first.read_bytes() == second.read_bytes() == alone.read_bytes()
