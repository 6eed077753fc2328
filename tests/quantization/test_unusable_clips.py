"""A clip on which the model gives NaN is left out, counted and named; the run goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.benchmarking.run import run_bench
from quantkit.benchmarking.settings import BenchSettings
from quantkit.errors import AudioError, CorpusError, ModelError
from quantkit.exporting.adopt import adopt
from quantkit.personalization.pipeline import personalize
from quantkit.quantization.choices.presets import preset
from quantkit.quantization.family import quantize_family
from quantkit.quantization.pipeline import quantize_model
from quantkit.runtime.recognizer import Recognizer
from quantkit.runtime.transcriber import transcribe
from quantkit.sensitivity.analyze import analyze

LABELS = ("<blank>", "a", "b", "c")


def dividing(path: Path) -> Path:
    """A recogniser that divides by the deviation of a clip's beginning, which silence has not."""
    node = helper.make_node
    random = np.random.default_rng(0)
    constants = {
        "axis": np.array([1]),
        "zero": np.array([0]),
        "beginning": np.array([400]),
        "w": random.standard_normal((8, 1, 400)).astype(np.float32) / 20,
        "head": random.standard_normal((8, len(LABELS))).astype(np.float32),
    }
    nodes = [
        node("Slice", ["audio", "zero", "beginning", "axis"], ["begin"]),
        node("ReduceMean", ["begin", "axis"], ["mean"]),
        node("Sub", ["begin", "mean"], ["apart"]),
        node("Mul", ["apart", "apart"], ["square"]),
        node("ReduceMean", ["square", "axis"], ["variance"]),
        node("Sqrt", ["variance"], ["spread"]),
        node("Sub", ["audio", "mean"], ["centred"]),
        node("Div", ["centred", "spread"], ["scaled"]),
        node("Unsqueeze", ["scaled", "axis"], ["x"]),
        node("Conv", ["x", "w"], ["c"], "first", strides=[160]),
        node("Relu", ["c"], ["r"]),
        node("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["t", "head"], ["logits"], "head_product"),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "theirs",
        [info("audio", TensorProto.FLOAT, ["b", "n"])],
        [info("logits", TensorProto.FLOAT, ["b", "f", len(LABELS)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dividing")
    (folder / "labels.txt").write_text("\n".join(LABELS))
    source = dividing(folder / "theirs.onnx")
    adopt(source, folder / "float32.onnx", folder / "labels.txt", "ctc")
    return folder / "float32.onnx"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Four clips of noise, and two among them that begin with silence."""
    folder = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    for number in range(6):
        soundfile.write(folder / f"{number}.wav", sound(random, late=number % 3 == 0), 16_000)
    return open_corpus(folder)


def sound(random: np.random.Generator, late: bool) -> npt.NDArray[np.float64]:
    """Noise that becomes louder; ``late``: after a tenth of a second of silence."""
    noise = 0.1 * random.standard_normal(12_000) * np.linspace(0.2, 1, 12_000)
    noise[: 1_600 * late] = 0
    return noise


@pytest.fixture(scope="module")
def silence(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("silence")
    random = np.random.default_rng(1)
    for number in range(2):
        soundfile.write(folder / f"{number}.wav", sound(random, late=True), 16_000)
    return open_corpus(folder)


SILENT = ["0.wav: the model gives NaN for it", "3.wav: the model gives NaN for it"]


def test_quantizing_goes_on_without_it(model: Path, corpus: Corpus, tmp_path: Path) -> None:
    made = quantize_model(model, tmp_path / "int8.onnx", "static-int8", corpus)
    assert sorted(made.skipped) == SILENT
    family = [preset("static-int8"), preset("hybrid")]
    for one in quantize_family(model, tmp_path, family, corpus):
        assert sorted(one.skipped) == SILENT


def test_what_is_found_out_is_that_of_the_others(
    model: Path, corpus: Corpus, tmp_path: Path
) -> None:
    others = Corpus("others", tuple(u for u in corpus if u.identifier not in ("0.wav", "3.wav")))
    with_silence, without = (
        quantize_model(model, tmp_path / f"{i}.onnx", "static-int8", clips)
        for i, clips in enumerate((corpus, others))
    )
    assert with_silence.path.read_bytes() == without.path.read_bytes()


@pytest.mark.slow
def test_analyses_and_personal_models_go_on_without_it(
    model: Path, corpus: Corpus, tmp_path: Path
) -> None:
    assert analyze(model, corpus).clips == 4
    made = personalize(model, tmp_path / "user.onnx", corpus, 12_000)
    assert made.summary.clips == 4
    assert any("gives NaN" in warning for warning in made.summary.warnings)


@pytest.mark.slow
def test_a_bench_goes_on_without_it(model: Path, corpus: Corpus) -> None:
    report = run_bench([model], corpus, BenchSettings())
    assert report.corpus.utterances == 4
    assert report.corpus.skipped_count == 2
    assert report.corpus.skipped[0].startswith("0.wav: float32 gives numbers that are not finite")


def test_transcribing_says_it_of_that_clip(model: Path, silence: Corpus) -> None:
    with pytest.raises(AudioError, match=r"0\.wav: the model gives numbers that are not finite"):
        list(transcribe(Recognizer.load(model), silence))


def test_where_none_is_left_the_run_ends(model: Path, silence: Corpus, tmp_path: Path) -> None:
    for run in (
        lambda: quantize_model(model, tmp_path / "int8.onnx", "static-int8", silence),
        lambda: analyze(model, silence),
    ):
        with pytest.raises(ModelError, match="none of 2 clips is usable; the first: layer"):
            run()
    assert not (tmp_path / "int8.onnx").exists()
    with pytest.raises(CorpusError, match=r"none of 2 clips is usable; the first: 0\.wav"):
        run_bench([model], silence, BenchSettings())
