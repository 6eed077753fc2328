"""The table is complete, the same every time, and measured only once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from quantkit.codecs.catalogue import CodecChoice
from quantkit.disk.files import sha256_of
from quantkit.errors import CorpusError, InputError, ModelError
from quantkit.graph.artifact import load_model, save_model
from quantkit.quantization import quantize_model
from quantkit.sensitivity import analyze as module
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.metrics import METRICS
from quantkit.sensitivity.table import Sensitivity

CANDIDATES = (CodecChoice("bitplane", 2), CodecChoice("bitplane", 5))
SETTINGS = AnalysisSettings(divergence=DivergenceSettings(candidates=CANDIDATES, threads=1))
METRICS_ONLY = AnalysisSettings(divergence=None)


def never(*_args, **_options):
    raise AssertionError("measured again")


@pytest.fixture
def measured_anew(monkeypatch) -> None:
    """Fail when anything is measured."""
    monkeypatch.setattr(module, "measure_metrics", never)
    monkeypatch.setattr(module, "measure_divergence", never)


def test_table_has_all_that_was_asked_about_every_layer(source, clips) -> None:
    table = analyze(source, clips, SETTINGS)
    assert [layer.name for layer in table.layers] == [f"layer{n}.conv" for n in range(1, 7)]
    assert (table.model_sha256, table.clips) == (sha256_of(source), 4)
    assert table.seconds == pytest.approx(4.14, abs=0.1)
    for layer in table.layers:
        assert set(layer.metrics) == set(METRICS)
        assert [each.codec for each in layer.weights] == list(CANDIDATES)
        assert layer.weights[0].divergence > layer.weights[1].divergence > 0
        assert {each.compute for each in layer.activations} == {"static", "dynamic"}
    assert Sensitivity.from_json(json.loads(json.dumps(table.to_json()))) == table


def test_same_question_has_the_same_answer_whatever_the_order_of_clips(source, clips) -> None:
    table = analyze(source, clips, METRICS_ONLY)
    again = analyze(source, iter(clips), METRICS_ONLY)
    assert again == table
    backwards = analyze(source, clips[::-1], METRICS_ONLY)
    for one, other in zip(table.layers, backwards.layers, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-9)
        assert one.weights == one.activations == ()


def test_only_the_metrics_that_were_asked_for(source, clips) -> None:
    settings = AnalysisSettings(metrics=("sqnr", "median"), divergence=None)
    table = analyze(source, clips, settings)
    assert list(table.layers[0].metrics) == ["sqnr", "median"]
    assert table.settings["metrics"] == ["sqnr", "median"]


@pytest.mark.slow
def test_second_run_is_served_from_the_cache(source, clips, tmp_path, request) -> None:
    first = analyze(source, clips, SETTINGS, cache=tmp_path / "cache")
    request.getfixturevalue("measured_anew")
    assert analyze(source, clips, SETTINGS, cache=tmp_path / "cache") == first


def test_file_may_move_but_not_change(source, clips, tmp_path, request) -> None:
    first = analyze(source, clips, METRICS_ONLY, cache=tmp_path / "cache")
    moved = source.rename(tmp_path / "moved.onnx")
    request.getfixturevalue("measured_anew")
    assert analyze(moved, clips, METRICS_ONLY, cache=tmp_path / "cache") == first
    with pytest.raises(AssertionError, match="measured again"):
        analyze(moved, clips[:3], METRICS_ONLY, cache=tmp_path / "cache")
    with pytest.raises(AssertionError, match="measured again"):
        analyze(moved, clips, SETTINGS, cache=tmp_path / "cache")


def test_weights_beside_the_file_are_part_of_the_model(source, clips, tmp_path) -> None:
    model = load_model(source)
    del model.metadata_props[:]
    path = tmp_path / "external.onnx"
    save_model(model, path, external_threshold=0)
    first = analyze(path, clips, METRICS_ONLY, cache=tmp_path / "cache")
    graph_file = path.read_bytes()
    weight = next(each for each in model.graph.initializer if each.name == "w3")
    weight.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(weight), "w3"))
    save_model(model, path, external_threshold=0)
    assert path.read_bytes() == graph_file
    second = analyze(path, clips, METRICS_ONLY, cache=tmp_path / "cache")
    assert second.layers[2].metrics["variance"] > 2 * first.layers[2].metrics["variance"]


@pytest.mark.slow
def test_damaged_cache_is_measured_again(source, clips, tmp_path) -> None:
    cache = tmp_path / "cache"
    first = analyze(source, clips, SETTINGS, cache=cache)
    files = [path for path in cache.rglob("*") if path.is_file()]
    for number, path in enumerate(files):
        text = path.read_text()
        path.write_text(text[: len(text) // 2] if number % 2 else text.replace("0.", "1."))
    assert analyze(source, clips, SETTINGS, cache=cache) == first


def test_whole_entry_with_other_fields_is_measured_again(source, clips, tmp_path, monkeypatch):
    first = analyze(source, clips, METRICS_ONLY, cache=tmp_path)
    monkeypatch.setattr(module.LayerSensitivity, "to_json", lambda _: {"from": "elsewhere"})
    (tmp_path / "other").mkdir()
    analyze(source, clips, METRICS_ONLY, cache=tmp_path / "other")
    monkeypatch.undo()
    assert analyze(source, clips, METRICS_ONLY, cache=tmp_path / "other") == first


# Analyses until its cache has received some parts, and is then killed without warning.
_KILLED = """
import os, signal, sys
from pathlib import Path
from quantkit.sensitivity.analyze import analyze
from quantkit.sensitivity.cache import AnalysisCache
from tests.small_model import clips
from tests.sensitivity.test_analyze import SETTINGS

left = int(sys.argv[3])
put = AnalysisCache.put

def put_some(self, part, value):
    global left
    put(self, part, value)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

AnalysisCache.put = put_some
analyze(Path(sys.argv[1]), clips.__wrapped__(), SETTINGS, cache=Path(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("parts", [2, 9])
def test_killed_run_goes_on_where_it_was(parts, source, clips, tmp_path) -> None:
    cache = tmp_path / "cache"
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, source, cache, str(parts)],
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    kept = {path: path.stat().st_ino for path in cache.rglob("*.json")}
    assert len(kept) == parts
    assert analyze(source, clips, SETTINGS, cache=cache) == analyze(source, clips, SETTINGS)
    # Writing a part again would replace its file.
    assert {path: path.stat().st_ino for path in kept} == kept
    # Six layers twice, and the table.
    assert len(list(cache.rglob("*.json"))) == 13


@pytest.mark.slow
def test_cache_that_cannot_be_written_is_mentioned_once(source, clips, tmp_path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    said: list[str] = []
    table = analyze(source, clips, SETTINGS, cache=blocked / "cache", notify=said.append)
    assert table == analyze(source, clips, SETTINGS)
    assert len(said) == 1


@pytest.mark.slow
def test_progress_names_each_stage_and_ends(source, clips) -> None:
    seen: dict[str, float] = {}
    analyze(source, clips, SETTINGS, progress=seen.__setitem__)
    assert list(seen) == ["metrics", "calibrating", "divergence"]
    assert seen["metrics"] == seen["calibrating"] == 1.0


def test_what_cannot_be_analysed_is_refused(source, clips, tmp_path) -> None:
    with pytest.raises(CorpusError, match="at least one clip"):
        analyze(source, [], METRICS_ONLY)
    quantized = quantize_model(source, tmp_path / "q.onnx", "static-int8", clips).path
    with pytest.raises(ModelError, match="quantized already"):
        analyze(quantized, clips, METRICS_ONLY)
    with pytest.raises(InputError, match="unknown metric 'mode'"):
        AnalysisSettings(metrics=("mode",))
    with pytest.raises(InputError, match="reference codec must quantize"):
        AnalysisSettings(reference=CodecChoice("float16", 16))


def test_model_with_nan_names_the_layer(source, clips) -> None:
    model = load_model(source)
    bias = next(each for each in model.graph.initializer if each.name == "b4")
    values = numpy_helper.to_array(bias).copy()
    values[0] = np.nan
    bias.CopyFrom(numpy_helper.from_array(values, "b4"))
    save_model(model, source)
    with pytest.raises(ModelError, match=r"layer layer4\.conv: its activations are NaN"):
        analyze(source, clips, METRICS_ONLY)
