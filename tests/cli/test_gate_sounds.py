"""``quantkit gate --add``: a model that is as good as float32 in quiet rooms only is found."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from onnx import TensorProto, helper, numpy_helper

import quantkit
from quantkit.audio.frontend import Frontend
from quantkit.errors import InputError
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.text.labels import Labels
from tests.cli import shell

pytestmark = pytest.mark.slow

LABELS = Labels(("_", " ", "a", "b"))
CLIPS = 8

run = partial(shell.run, "gate")


def recogniser(path: Path, hears_noise: float) -> Path:
    """Says ``a``, and ``b`` where features move from frame to frame, as those of noise do."""
    value = helper.make_tensor_value_info
    weight = np.zeros((40, 4), np.float32)
    weight[:, 3] = hears_noise
    graph = helper.make_graph(
        [
            helper.make_node("Abs", ["features"], ["moved"]),
            helper.make_node("MatMul", ["moved", "weight"], ["heard"]),
            helper.make_node("Add", ["heard", "usual"], ["logits"]),
            helper.make_node("LogSoftmax", ["logits"], ["log_probs"]),
            helper.make_node("Identity", ["lengths"], ["output_lengths"]),
        ],
        "g",
        [
            value("features", TensorProto.FLOAT, ["batch", "frames", 40]),
            value("lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            value("log_probs", TensorProto.FLOAT, ["batch", "frames", 4]),
            value("output_lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.array([0, 0, 9, 0], np.float32), "usual"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    set_info(model, ArtifactInfo(labels=LABELS, frontend=Frontend(), task="ctc"))
    save_model(model, path)
    return path


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bench.json of two models, and its clips: tones, which do not move."""
    folder = tmp_path_factory.mktemp("sounds")
    clips = folder / "clips"
    clips.mkdir()
    rows = ["path\tsplit\tspeaker\tgender\tlanguage\tseconds\ttext"]
    for number in range(CLIPS):
        times = np.arange(8_000) / 16_000
        tone = 0.3 * np.sin(2 * np.pi * (300 + 50 * number) * times)
        soundfile.write(clips / f"{number}.flac", tone, 16_000)
        rows.append(f"{number}.flac\ttest\t\t\ten\t0.5\ta")
    (clips / "manifest.tsv").write_text("\n".join(rows) + "\n")
    models = [recogniser(folder / "float32.onnx", 0.0), recogniser(folder / "int8.onnx", 1.0)]
    settings = quantkit.BenchSettings(
        decoding=quantkit.Decoding("greedy"), batch_sizes=(1,), threads=(1,), sweep_utterances=0
    )
    report = folder / "report"
    quantkit.bench(models, clips, report=report, settings=settings)
    return report / "bench.json", clips


QUIET = ("--against", "float32", "--criteria", "edits,divergence")


def test_a_model_that_noise_confuses_passes_in_quiet_rooms_only(measured, tmp_path, capsys):
    bench, clips = measured
    assert run(bench, *QUIET) == 0
    summary = tmp_path / "gate.md"
    sounds = ("--add", "noise:0dB", "--add", "gain:-6dB", "--data", clips)
    assert run(bench, *QUIET, *sounds, "--summary", summary) == 1
    capsys.readouterr()
    assert run(bench, *QUIET, *sounds, "--json") == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    found = {(each["corpus"], each["criterion"]): each["verdict"] for each in checks}
    noisy = f"{clips} with noise:0dB, seed 0"
    assert found[str(clips), "levenshtein"] == found[str(clips), "divergence"] == "passed"
    assert found[noisy, "levenshtein"] == found[noisy, "divergence"] == "failed"
    # Turning it down moves nothing.
    assert found[f"{clips} with gain:-6dB, seed 0", "levenshtein"] == "passed"
    assert noisy in summary.read_text()


def test_sizes_and_speeds_are_those_of_the_run_itself(measured):
    bench, clips = measured
    added = quantkit.AddedSounds(clips, ("gain:-6dB",), seed=3)
    result = quantkit.gate(bench, against="float32", added=added)
    by_corpus: dict[str, set[str]] = {}
    for check in result.checks:
        by_corpus.setdefault(check.corpus, set()).add(check.criterion)
    assert by_corpus == {
        str(clips): {"levenshtein", "size_bytes", "speedup"},
        f"{clips} with gain:-6dB, seed 3": {"levenshtein"},
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--add", "noise:0dB"), "--add and --data go together"),
        (("--data", "clips"), "--add and --data go together"),
        (("--add", "thunder", "--data", "clips"), "nothing is called 'thunder'"),
    ],
)
def test_options_that_do_not_fit(measured, capsys, options, message):
    assert run(measured[0], "--against", "float32", *options) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_baseline_knows_nothing_of_sounds(measured, tmp_path):
    bench, clips = measured
    baseline = tmp_path / "baseline.json"
    quantkit.update_baseline(bench, baseline)
    added = quantkit.AddedSounds(clips, ("noise:0dB",))
    with pytest.raises(InputError, match=r"name the model of it that others are held to"):
        quantkit.gate(bench, baseline, added=added)


def changed(bench: Path, path: Path, change) -> Path:
    document = json.loads(bench.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def test_a_run_whose_models_or_clips_are_not_there_any_more(measured, tmp_path):
    bench, clips = measured
    sounds = quantkit.AddedSounds(clips, ("gain:-6dB",))

    def gone(document):
        document["models"][1]["path"] = "gone.onnx"

    with pytest.raises(InputError, match=r"model int8 of the bench run is not at gone\.onnx"):
        quantkit.gate(changed(bench, tmp_path / "1.json", gone), against="float32", added=sounds)

    def other(document):
        document["models"][1]["sha256"] = "0" * 64

    with pytest.raises(InputError, match="model int8 is another file than the bench run measured"):
        quantkit.gate(changed(bench, tmp_path / "2.json", other), against="float32", added=sounds)
    few = tmp_path / "few"
    few.mkdir()
    (few / "0.flac").write_bytes((clips / "0.flac").read_bytes())
    with pytest.raises(InputError, match=f"{CLIPS - 1} of {CLIPS} clips of the bench run are not"):
        quantkit.gate(bench, against="float32", added=quantkit.AddedSounds(few, ("gain:-6dB",)))


def test_no_sound_is_refused(measured):
    with pytest.raises(InputError, match="there is no sound to add"):
        quantkit.AddedSounds(measured[1], ())


def test_the_same_seed_adds_the_same(measured):
    bench, clips = measured
    runs = [
        quantkit.gate(bench, against="float32", added=quantkit.AddedSounds(clips, ("noise:0dB",)))
        for _ in range(2)
    ]
    one, other = (each.checks[-1].current for each in runs)
    assert one == other
