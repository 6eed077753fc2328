"""The steps from a float model to a small one, each called from Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantkit
from quantkit.audio.corpora import open_corpus
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import AudioError, CorpusError, FormatError, InputError
from quantkit.graph.plan import read_plan
from quantkit.personalization.pipeline import PersonalizeSettings
from quantkit.planning.load_limit import plan_load_memory
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from tests.api.small import RATE, clips, write_corpus

CANDIDATES = tuple(map(CodecChoice.parse, ("bitplane:4", "int8")))
ANALYSIS = AnalysisSettings(
    metrics=("median",), divergence=DivergenceSettings(candidates=CANDIDATES)
)


def assert_table(result: Any, rows: int | None = None) -> None:
    """``pandas.DataFrame`` takes a list of dictionaries with the same keys; JSON takes the rest."""
    json.dumps(result.to_dict())
    table = result.rows()
    assert isinstance(table, list)
    assert rows is None or len(table) == rows
    assert len({tuple(row) for row in table}) <= 1
    for row in table:
        assert all(not isinstance(value, dict) or key == "options" for key, value in row.items())
    try:
        import pandas
    except ImportError:
        return
    frame = pandas.DataFrame(table)
    assert len(frame) == len(table)


def forms(folder: Path) -> dict[str, tuple[Any, float | None]]:
    """The same three clips in every form that audio may have."""
    files = sorted(folder.glob("*.wav"))
    return {
        "folder": (folder, None),
        "text": (str(folder), None),
        "corpus": (open_corpus(folder), None),
        "files": ([str(path) for path in files], None),
        "arrays": (clips(3), RATE),
    }


@pytest.mark.parametrize("form", ["text", "corpus", "files", "arrays"])
def test_audio_in_every_form_is_the_same_audio(form: str, source: Path, audio: Path) -> None:
    def heard(form: str) -> str:
        given, rate = forms(audio)[form]
        settings = AnalysisSettings(metrics=("median",), divergence=None)
        result = quantkit.analyze(source, given, sample_rate=rate, settings=settings, cache=False)
        return result.sensitivity.audio_sha256

    assert heard(form) == heard("folder")


@pytest.mark.slow
def test_analyze_plan_and_quantize(source: Path, audio: Path, tmp_path: Path) -> None:
    found = quantkit.analyze(source, audio, output=tmp_path / "s.json", settings=ANALYSIS)
    assert_table(found, rows=6)
    assert found.rows()[0].keys() >= {"layer", "op", "parameters", "median", "bitplane:4", "int8"}
    assert json.loads((tmp_path / "s.json").read_text()) == found.to_dict()
    for table in (found, found.sensitivity, tmp_path / "s.json", str(tmp_path / "s.json")):
        made = quantkit.plan(source, "60kB", sensitivity=table, output=tmp_path / "plan.json")
        assert made.predicted_bytes <= 60_000
        assert made.predicted_divergence is not None
        assert_table(made, rows=6)
        assert read_plan(tmp_path / "plan.json") == made.plan
    output = tmp_path / "small.onnx"
    sizes = set()
    for decisions in (made, made.plan, tmp_path / "plan.json", str(tmp_path / "plan.json")):
        result = quantkit.quantize(source, output, decisions, audio)
        assert_table(result, rows=6)
        assert result.size_bytes == output.stat().st_size
        sizes.add(output.read_bytes())
    assert len(sizes) == 1
    assert result.rows()[0]["kernel"]


def test_a_budget_may_be_bytes(source: Path, tmp_path: Path) -> None:
    by_text = quantkit.plan(source, "60kB", method="uniform")
    by_number = quantkit.plan(source, 60_000, method="uniform")
    assert by_text.plan == by_number.plan
    assert by_text.predicted_divergence is None


def test_a_plan_edited_by_hand_gets_its_sizes(source: Path, tmp_path: Path) -> None:
    made = quantkit.plan(source, 60_000, method="uniform", output=tmp_path / "plan.json")
    again = quantkit.resize_plan(str(source), str(tmp_path / "plan.json"))
    assert again.plan.method == "manual"
    assert [row["bytes"] for row in again.rows()] == [row["bytes"] for row in made.rows()]


@pytest.mark.slow
def test_quantize_takes_a_preset_or_settings_of_ones_own(
    source: Path, audio: Path, tmp_path: Path
) -> None:
    preset = quantkit.quantize(str(source), str(tmp_path / "a.onnx"), "static-int8", audio)
    settings = quantkit.QuantizeSettings("static-int8", compute="static")
    quantkit.quantize(source, tmp_path / "b.onnx", settings, clips(3), sample_rate=RATE)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert preset.plan.method == "static-int8"
    for unknown, kind in (("int9", InputError), ("missing.json", FormatError)):
        with pytest.raises(kind, match=unknown):
            quantkit.quantize(source, tmp_path / "c.onnx", unknown)


@pytest.mark.slow
def test_all_presets_beside_each_other(source: Path, audio: Path, tmp_path: Path) -> None:
    results = quantkit.quantize_presets(
        source, tmp_path / "all", audio, presets=("int8", "static-int8")
    )
    assert [result.path.name for result in results] == ["int8.onnx", "static-int8.onnx"]


@pytest.mark.slow
def test_personalize(source: Path, tmp_path: Path) -> None:
    told: list[str] = []
    made = quantkit.personalize(
        str(source),
        str(tmp_path / "user.onnx"),
        clips(3),
        "52kB",
        sample_rate=RATE,
        settings=PersonalizeSettings(candidates=CANDIDATES, rounds=0),
        report=str(tmp_path / "user.html"),
        plan=tmp_path / "plan.json",
        cache=False,
        progress=lambda stage, share: told.append(stage) if 0 <= share <= 1 else None,
    )
    assert made.summary.size_bytes == (tmp_path / "user.onnx").stat().st_size <= 52_000
    assert read_plan(tmp_path / "plan.json") == made.plan
    assert (tmp_path / "user.html").stat().st_size > 1_000
    assert {"plan", "quantize", "compare"} <= set(told)
    assert_table(made, rows=6)


def test_personalize_takes_32_clips_of_the_split_calibration(source: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", {"calibration": 34, "test": 34})
    began: list[str] = []

    def stop(steps: str) -> None:
        began.append(steps)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantkit.personalize(source, tmp_path / "user.onnx", corpus, 52_000, begin=stop)
    assert began == [f"fit {source} into 52,000 bytes for 32 clips of {corpus}"]
    assert not (tmp_path / "user.onnx").exists()


@pytest.mark.slow
def test_bench_gate_and_inspect(source: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", {"test": 3})
    small = tmp_path / "int8.onnx"
    quantkit.quantize(source, small, "int8")
    settings = quantkit.BenchSettings(
        decoding=quantkit.Decoding("greedy"), batch_sizes=(1,), threads=(1,), sweep_utterances=0
    )
    report = quantkit.bench(
        [source, str(small)], corpus, settings=settings, report=tmp_path / "report"
    )
    assert_table(report, rows=2)
    assert report.rows()[1]["name"] == "int8"
    for bench in (report, tmp_path / "report" / "bench.json"):
        update = quantkit.update_baseline(bench, tmp_path / "baseline.json")
        assert update.models == ("float32", "int8")
        result = quantkit.gate(bench, str(tmp_path / "baseline.json"), summary=tmp_path / "s.md")
        assert result.passed
        assert_table(result)
    assert (tmp_path / "s.md").exists()
    assert_table(quantkit.inspect(str(small)), rows=6)


@pytest.mark.slow
def test_bench_of_arrays_measures_speed_alone(source: Path) -> None:
    settings = quantkit.BenchSettings(
        decoding=quantkit.Decoding("greedy"), batch_sizes=(1,), threads=(1,), sweep_utterances=0
    )
    report = quantkit.bench(source, clips(2), sample_rate=RATE, settings=settings)
    assert report.corpus.utterances == 2
    assert not report.scored


@pytest.mark.slow
def test_ship_and_verify(source: Path, tmp_path: Path) -> None:
    (tmp_path / "LICENCE").write_text("For tests.")
    made = quantkit.ship(
        str(source), str(tmp_path / "bundle"), licence=str(tmp_path / "LICENCE"), name="small"
    )
    assert made.name == "small"
    assert_table(made)
    checked = quantkit.verify(str(tmp_path / "bundle"), manifest_sha256=made.manifest_sha256)
    assert checked.ok
    assert_table(checked, rows=0)
    (tmp_path / "bundle" / "LICENCE").write_text("Another one.")
    changed = quantkit.verify(tmp_path / "bundle")
    assert [row["path"] for row in changed.rows()] == ["LICENCE"]
    with pytest.raises(quantkit.VerificationError, match="LICENCE"):
        changed.require()
    artifact = quantkit.verify(source)
    assert artifact.ok
    assert artifact.to_dict()["checksum"] == artifact.sha256
    with pytest.raises(InputError, match="is for bundles"):
        quantkit.verify(source, manifest_sha256="00")


def test_no_clip_is_replaced(source: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", {"calibration": 2})
    clip = corpus / "00.wav"
    before = clip.read_bytes()
    calls: list[Callable[[], object]] = [
        lambda: quantkit.analyze(source, corpus, output=clip),
        lambda: quantkit.quantize(source, clip, "static-int8", corpus),
        lambda: quantkit.plan(source, 60_000, audio=corpus, output=clip),
        lambda: quantkit.personalize(source, clip, corpus, 60_000),
    ]
    for call in calls:
        with pytest.raises(InputError, match="does not end in"):
            call()
    assert clip.read_bytes() == before


@pytest.mark.parametrize(
    ("audio", "rate", "kind", "message"),
    [
        ([], None, CorpusError, "empty"),
        ([np.zeros(9_000, np.uint8)], RATE, AudioError, "uint8"),
        ([np.zeros(9_000)], None, InputError, "sample rate"),
        ("nowhere", None, CorpusError, "does not exist"),
    ],
)
def test_bad_audio_is_refused_before_anything_is_done(
    audio: Any, rate: Any, kind: Any, message: str, source: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    with pytest.raises(kind, match=message):
        quantkit.personalize(source, output, audio, "52kB", sample_rate=rate)
    with pytest.raises(kind, match=message):
        quantkit.quantize(source, output, "static-int8", audio, sample_rate=rate)
    assert not output.exists()


@pytest.mark.slow
def test_a_plan_leaves_out_codecs_whose_files_take_too_much_to_open(
    source: Path, audio: Path
) -> None:
    codecs = tuple(map(CodecChoice.parse, ("grouped:4", "bitplane:4", "int8")))
    settings = AnalysisSettings(metrics=(), divergence=DivergenceSettings(candidates=codecs))
    table = quantkit.analyze(source, audio, settings=settings, cache=False)

    def planned(limit: Any) -> Any:
        chosen = quantkit.PlanSettings(load_memory=limit, verify=False)
        return quantkit.plan(source, "60kB", sensitivity=table, settings=chosen)

    prepared = PreparedModel(source)
    free = planned(None).plan
    assert "grouped" in {row.codec for row in free.layers}
    limit = plan_load_memory(prepared, free).peak_bytes - 1
    found = planned(limit).plan
    assert plan_load_memory(prepared, found).peak_bytes <= limit
    assert "grouped" not in {row.codec for row in found.layers}
    with pytest.raises(InputError, match="opening the file would take"):
        planned("1MB")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "optimal"}, "this method decides by what layers do"),
        ({"method": "best"}, "unknown method 'best'; choose one of optimal"),
        ({"settings": quantkit.PlanSettings(seed=3)}, "--seed does not go with --method optimal"),
        ({"settings": quantkit.PlanSettings(verify=True)}, "--verify needs --audio"),
        ({"settings": quantkit.PlanSettings(max_latency="fast")}, "latency 'fast' is not a time"),
        (
            {"method": "uniform", "settings": quantkit.PlanSettings(load_memory="1MB")},
            "opening the file would take .* MB, more than --load-memory of 1.0 MB: raise it",
        ),
        ({"settings": quantkit.PlanSettings(load_memory="little")}, "'little' is not a size"),
    ],
)
def test_a_plan_that_cannot_be_made(settings: Any, message: str, source: Path) -> None:
    with pytest.raises(InputError, match=message):
        quantkit.plan(source, "60kB", **settings)
    with pytest.raises(InputError, match="needs a --budget"):
        quantkit.plan(source, method="uniform")
