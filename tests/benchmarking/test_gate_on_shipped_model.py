"""The shipped model on the shipped clips: the gate lets it pass, and sees damage to its int8 file.

What a pull request goes through, in small: export, quantize, bench, gate.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.benchmarking.run import run_bench
from quantkit.benchmarking.schema import write_report
from quantkit.benchmarking.settings import BenchSettings
from quantkit.cli import main
from quantkit.graph.artifact import load_model, save_model
from quantkit.graph.layers import find_layers
from quantkit.quantization.pipeline import quantize_model
from quantkit.runtime.interleaved import Effort
from quantkit.text.decoding import Decoding

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
CHECKPOINT = REPOSITORY / "models" / "wav2letter-en"
CLIPS = REPOSITORY / "calibration_data"

CALIBRATION_CLIPS = 8
TEST_CLIPS = 20
# Accuracy is the subject; three rounds of latency on a busy machine say nothing about speed.
ANY_SPEED = {"relative": 1.0, "absolute": 0.0}


@dataclass(frozen=True)
class Bench:
    """A folder with ``float32.onnx`` and ``static-int8.onnx``, and an accepted baseline."""

    folder: Path
    corpus: Corpus

    @property
    def quantized(self) -> Path:
        return self.folder / "static-int8.onnx"

    def measure(self, name: str, quantized: Path | None = None) -> Path:
        """Bench float32 beside ``quantized``, and return the bench.json."""
        settings = BenchSettings(
            decoding=Decoding("greedy"),
            limit=TEST_CLIPS,
            batch_sizes=(1,),
            threads=(1,),
            sweep_utterances=0,
            effort=Effort(rounds=3, min_rounds=3, seconds=0.1),
        )
        models = [self.folder / "float32.onnx", quantized or self.quantized]
        destination = self.folder / name / "bench.json"
        write_report(run_bench(models, self.corpus, settings), destination)
        return destination

    def gate(self, measured: Path, *options: str) -> int:
        """Exit code of ``quantkit gate``."""
        baseline = self.folder / "baseline.json"
        with pytest.raises(SystemExit) as caught:
            main(["gate", str(measured), "--baseline", str(baseline), *options])
        assert isinstance(caught.value.code, int)
        return caught.value.code


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    if not (CHECKPOINT / "model.safetensors").is_file():
        pytest.skip(f"no weights at {CHECKPOINT}; train them with `make train`")
    pytest.importorskip("torch", reason="export needs PyTorch")
    from quantkit.exporting.to_onnx import export_checkpoint

    folder = tmp_path_factory.mktemp("shipped")
    corpus = open_corpus(CLIPS)
    made = Bench(folder, corpus)
    export_checkpoint(CHECKPOINT, folder / "float32.onnx")
    clips = corpus.select(split="calibration").sample(CALIBRATION_CLIPS, 0)
    quantize_model(folder / "float32.onnx", made.quantized, "static-int8", clips)
    assert made.gate(made.measure("accepted"), "--update") == 0
    baseline = folder / "baseline.json"
    content = json.loads(baseline.read_text(encoding="utf-8"))
    content["tolerances"]["speedup"] = ANY_SPEED
    baseline.write_text(json.dumps(content), encoding="utf-8")
    return made


def silence_a_quarter(source: Path, destination: Path) -> None:
    """Zero the int8 weights of every fourth output channel of the layer before the last.

    Everything goes through that layer. A residual layer forgives the same damage: what it costs
    there is within the noise of so few clips.
    """
    model = load_model(source)
    layer = find_layers(model)[-2]
    (stored,) = (t for t in model.graph.initializer if t.name == layer.weight)
    weight = numpy_helper.to_array(stored).copy()
    assert weight.dtype == np.int8
    weight[::4] = 0
    stored.CopyFrom(numpy_helper.from_array(weight, stored.name))
    save_model(model, destination)


def test_the_accepted_models_hear_something(bench: Bench) -> None:
    content = json.loads((bench.folder / "baseline.json").read_text(encoding="utf-8"))
    assert [model["name"] for model in content["models"]] == ["float32", "static-int8"]
    measured = json.loads((bench.folder / "accepted" / "bench.json").read_text(encoding="utf-8"))
    for model in measured["models"]:
        assert len(model["utterances"]) == TEST_CLIPS
        assert model["cer"] < 0.5


def test_the_same_models_pass_when_they_are_measured_again(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.gate(bench.measure("again")) == 0
    assert capsys.readouterr().err == ""


def test_a_damaged_int8_file_fails(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    # The gate goes by the file's name, so the damaged model must bear the good one's.
    damaged = bench.folder / "damaged" / "static-int8.onnx"
    damaged.parent.mkdir()
    silence_a_quarter(bench.quantized, damaged)
    assert bench.gate(bench.measure("worse", damaged)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "1 of 5 checks failed: static-int8 levenshtein: " in line
