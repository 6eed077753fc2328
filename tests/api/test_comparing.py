"""What a quantized file changes is said when it is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import quantkit
from quantkit.api.comparing import with_comparison
from quantkit.audio.corpora import open_corpus
from quantkit.graph.artifact import load_model, save_model
from quantkit.quantization import QuantizeSettings
from quantkit.quantization.choices.settings import LayerRule
from quantkit.quantization.prepared import PreparedModel
from tests.api.small import clips, write_clips


def test_a_file_is_compared_with_float32_on_the_clips_that_it_was_calibrated_on(
    source: Path, audio: Path, tmp_path: Path
) -> None:
    made = quantkit.quantize(source, tmp_path / "int8.onnx", "static-int8", audio)
    assert made.compared_clips == 3
    assert made.divergence is not None
    assert 0 < made.divergence < 0.1
    assert made.changes is not None
    assert made.changes.counts[0].share <= 0.1
    assert made.changed_in_words.endswith(" nats per frame on 3 clips")
    assert not any("is far from float32" in warning for warning in made.warnings)
    assert made.to_dict()["divergence"] == made.divergence


def test_a_file_that_changes_the_words_says_so(source: Path, audio: Path, tmp_path: Path) -> None:
    ruined = QuantizeSettings(compute="static", rules=(LayerRule.parse("*=bitplane:1"),))
    made = quantkit.quantize(source, tmp_path / "one.onnx", ruined, audio)
    assert made.changes is not None
    assert made.changes.counts[0].share > 0.1
    assert [each for each in made.warnings if "one.onnx is far from float32: " in each]


def test_few_of_many_clips_are_compared(source: Path, tmp_path: Path) -> None:
    made = quantkit.quantize(
        source, tmp_path / "int8.onnx", "static-int8", clips(20), sample_rate=16_000
    )
    assert made.compared_clips == 8


def test_clips_that_cannot_be_heard_do_not_end_a_run(source: Path, tmp_path: Path) -> None:
    made = quantkit.quantize(source, tmp_path / "int8.onnx", "dynamic-int8")
    silent = write_clips(tmp_path / "short", [np.zeros(3, np.int16)])
    found = with_comparison(PreparedModel(source), made, open_corpus(silent[0].parent))
    assert found.divergence is None
    assert "could not be compared with float32" in found.warnings[-1]


def test_without_clips_nothing_is_compared(source: Path, tmp_path: Path) -> None:
    made = quantkit.quantize(source, tmp_path / "int8.onnx", "dynamic-int8")
    assert made.changes is None
    assert made.changed_in_words == ""


def test_every_preset_is_compared(source: Path, audio: Path, tmp_path: Path) -> None:
    family = quantkit.quantize_presets(
        source, tmp_path / "all", audio, presets=["float32", "static-int8"]
    )
    assert [bool(each.compared_clips) for each in family] == [True, True]
    assert family[0].divergence == pytest.approx(0, abs=1e-9)


def test_a_model_that_gives_no_numbers_is_named(source: Path, audio: Path, tmp_path: Path) -> None:
    made = quantkit.quantize(source, tmp_path / "int8.onnx", "static-int8", audio)
    broken = load_model(made.path)
    scale = next(each for each in broken.graph.initializer if each.name.endswith("bias"))
    scale.raw_data = np.full(scale.dims, np.nan, np.float32).tobytes()
    save_model(broken, made.path)
    found = with_comparison(PreparedModel(source), replace(made, warnings=()), open_corpus(audio))
    assert "could not be compared with float32" in found.warnings[0]
