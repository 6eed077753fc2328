"""Published folders become artifacts, and quantized models folders of the same layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic

import quantkit
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.errors import InputError, ModelError
from quantkit.exporting.folders.registry import layout_of
from quantkit.graph.artifact import model_files, read_info, total_size
from quantkit.runtime.transducer.network import TransducerNetwork
from quantkit.runtime.transducer.settings import transducer_settings
from tests.exporting.folders.small_folders import (
    LETTERS,
    WIDTH,
    write_icefall,
    write_nemo,
    write_nemo_ctc,
    write_sherpa_nemo,
    write_streaming_ctc,
    write_streaming_icefall,
    write_streaming_nemo_ctc,
)

REPOSITORY = Path(__file__).resolve().parents[3]
WRITERS: dict[str, Callable[[Path], Path]] = {
    "tdt": write_nemo,
    "rnnt": lambda folder: write_nemo(folder, durations=0),
    "icefall": write_icefall,
    "sherpa": lambda folder: write_icefall(folder, inner="", addition="-epoch-9-avg-1"),
    "sherpa-nemo": lambda folder: write_sherpa_nemo(folder, durations=5),
    "ctc": write_nemo_ctc,
    "streaming-icefall": write_streaming_icefall,
    "streaming-one-clip": lambda folder: write_streaming_icefall(folder, clips=1),
    "streaming-ctc": write_streaming_ctc,
    "streaming-ctc-one-clip": lambda folder: write_streaming_ctc(folder, clips=1),
    "streaming-nemo-ctc": write_streaming_nemo_ctc,
    "streaming-nemo-ctc-normalised": lambda folder: write_streaming_nemo_ctc(
        folder, normalize="per_feature"
    ),
}


@pytest.fixture(scope="module")
def speech() -> Corpus:
    return open_corpus(REPOSITORY / "calibration_data").sample(2)


@pytest.fixture(scope="module", params=WRITERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return WRITERS[str(request.param)](tmp_path_factory.mktemp("published") / str(request.param))


@pytest.fixture(scope="module")
def small(folder: Path) -> Path:
    """The folder quantized; a model of the same name takes its place."""
    made = quantkit.quantize(folder, folder.with_name(f"{folder.name}-int8"), "dynamic-int8")
    return made.path


def graphs(folder: Path) -> dict[str, onnx.ModelProto]:
    return {
        path.relative_to(folder).as_posix(): onnx.load(path)
        for path in sorted(folder.rglob("*.onnx"))
    }


def values(model: onnx.ModelProto) -> list[tuple[str, str, int]]:
    return [
        (kind, value.name, value.type.tensor_type.elem_type)
        for kind, found in (("in", model.graph.input), ("out", model.graph.output))
        for value in found
    ]


def test_a_folder_is_transcribed_as_it_is(folder: Path, speech: Corpus) -> None:
    texts = [found.text for found in quantkit.load(folder).transcribe(speech)]
    assert all(set(text) <= {" ", *LETTERS} for text in texts)
    assert any(text.strip() for text in texts)


def test_an_artifact_of_it_says_the_same(folder: Path, speech: Corpus, tmp_path: Path) -> None:
    made = quantkit.export(folder, tmp_path / "x.onnx")
    assert made.parity.worst.difference < 1e-5
    assert quantkit.load(made.path).info.name == folder.name
    texts = [
        [found.text for found in quantkit.load(model).transcribe(speech)]
        for model in (folder, made.path)
    ]
    assert texts[0] == texts[1]


def test_what_is_made_of_it_has_its_files_inputs_outputs_and_metadata(
    folder: Path, small: Path
) -> None:
    names = [
        sorted(path.relative_to(each).as_posix() for path in each.rglob("*") if path.is_file())
        for each in (folder, small)
    ]
    assert names[0] == names[1]
    before, after = graphs(folder), graphs(small)
    for name, model in before.items():
        assert values(after[name]) == values(model)
        entries = {entry.key: entry.value for entry in after[name].metadata_props}
        assert {entry.key: entry.value for entry in model.metadata_props}.items() <= entries.items()
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".onnx":
            assert (small / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_it_is_smaller_and_opens_like_any_model(folder: Path, small: Path, speech: Corpus) -> None:
    sizes = [sum(path.stat().st_size for path in each.rglob("*.onnx")) for each in (folder, small)]
    assert sizes[1] < sizes[0] / 1.5
    found = quantkit.inspect(small)
    assert found.size_bytes == sizes[1]
    assert found.checksum
    assert {layer.codec for layer in found.layers} == {"int8"}
    assert any(text.text.strip() for text in quantkit.load(small).transcribe(speech))


def test_a_quantized_folder_is_no_float_model(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is quantized already"):
        quantkit.quantize(small, tmp_path / "again", "dynamic-int8")


@pytest.mark.parametrize("kind", ["tdt", "icefall"])
def test_a_folder_that_others_quantized_is_transcribed(
    kind: str, speech: Corpus, tmp_path: Path
) -> None:
    """As the zoos do it: one graph after the other."""
    source = WRITERS[kind](tmp_path / "float")
    folder = tmp_path / "theirs"
    shutil.copytree(source, folder)
    for path in folder.rglob("*.onnx"):
        quantize_dynamic(path, path, weight_type=QuantType.QInt8)
    found = quantkit.load(folder)
    assert found.info.plan is None
    assert any(text.text.strip() for text in found.transcribe(speech))
    with pytest.raises(ModelError, match="is quantized already"):
        quantkit.quantize(folder, tmp_path / "again", "dynamic-int8")


def test_a_damaged_file_of_it_is_refused(small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small, copy)
    last = max(copy.rglob("*.onnx"), key=lambda path: (path.stat().st_size, path.name))
    content = bytearray(last.read_bytes())
    # Within a weight.
    content[len(content) // 3] ^= 1
    last.write_bytes(content)
    with pytest.raises(ModelError, match="is damaged"):
        quantkit.load(copy)


def test_an_addition_to_the_names_allows_the_same_folder(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    with pytest.raises(InputError, match=r"name another one, or .* --suffix \.int8"):
        quantkit.quantize(copy, copy, "dynamic-int8")
    before = {path.name for path in copy.rglob("*.onnx")}
    quantkit.quantize(copy, copy, "dynamic-int8", suffix=".int8")
    after = {path.name for path in copy.rglob("*.onnx")}
    assert after - before == {name.replace(".onnx", ".int8.onnx") for name in before}
    # The float files are still what the folder is.
    assert quantkit.inspect(copy).checksum
    layout = layout_of(copy)
    assert layout is not None
    assert {path.name for path in layout.files(copy).graphs} == before


def test_its_interface_is_not_left_out(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"keeps its interface; name an \.onnx"):
        quantkit.quantize(folder, tmp_path / "out", "dynamic-int8", keep_interface=False)


def test_an_artifact_is_written_where_an_onnx_is_named(folder: Path, tmp_path: Path) -> None:
    path = quantkit.quantize(folder, tmp_path / "x.onnx", "dynamic-int8").path
    files = model_files(path)
    assert path == tmp_path / "x.onnx"
    assert [file.name.split(".")[0] for file in files] == ["x"] * len(files)
    assert total_size(path) == sum(file.stat().st_size for file in files)


def test_durations_and_the_context_are_read_from_the_graphs(tmp_path: Path) -> None:
    tdt, rnnt, icefall = (
        transducer_settings(
            read_info(quantkit.export(write(tmp_path / n), tmp_path / f"{n}.onnx").path).extra
        )
        for n, write in (("a", write_nemo), ("b", WRITERS["rnnt"]), ("c", write_icefall))
    )
    assert (tdt.durations, tdt.start, tdt.subsampling) == (3, (len(LETTERS),), 4)
    assert (rnnt.durations, rnnt.most_per_frame) == (0, 10)
    assert (icefall.durations, icefall.start, icefall.most_per_frame) == (0, (-1, 0), 1)


def test_the_recurrent_layer_the_joiner_and_the_embedding_are_layers(tmp_path: Path) -> None:
    folder = write_nemo(tmp_path / "tdt")
    found = quantkit.inspect(folder)
    assert [layer.name for layer in found.layers] == [
        "encoder./convolved",
        "encoder./mixed",
        "decoder./embedded",
        "decoder./steps.W",
        "decoder./steps.R",
        "decoder./scores",
    ]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("decoder_joint-model.onnx", "has encoder-model.onnx but no decoder_joint-model.onnx"),
        ("encoder-model.onnx", "has decoder_joint-model.onnx but no encoder-model.onnx"),
        ("vocab.txt", "has no vocab.txt, which says what its labels are"),
    ],
)
def test_what_is_missing_is_named(missing: str, message: str, tmp_path: Path) -> None:
    folder = write_nemo(tmp_path / "tdt")
    (folder / missing).unlink()
    with pytest.raises(InputError, match=message):
        quantkit.load(folder)


def test_files_of_two_models_are_not_joined(tmp_path: Path) -> None:
    folder = write_nemo(tmp_path / "tdt")
    (folder / "decoder_joint-model.onnx").rename(folder / "decoder_joint-model.int8.onnx")
    with pytest.raises(InputError, match="do not belong together"):
        quantkit.load(folder)


def test_a_vocabulary_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = write_nemo(tmp_path / "rnnt", durations=0)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("g 8\n" + vocabulary.read_text(), encoding="utf-8")
    with pytest.raises(InputError, match="scores only 8: they are of different models"):
        quantkit.load(folder)


def test_an_input_of_an_unknown_meaning_is_refused(tmp_path: Path) -> None:
    folder = write_icefall(tmp_path / "kaldi")
    path = folder / "am-onnx" / "encoder.onnx"
    model = onnx.load(path)
    model.graph.input.append(onnx.helper.make_tensor_value_info("speaker", 1, ["N", 4]))
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"takes speaker besides x, x_lens, and what these are"):
        quantkit.load(folder)


def test_a_folder_of_16_bit_floats_is_refused(tmp_path: Path) -> None:
    folder = write_nemo(tmp_path / "tdt")
    path = folder / "encoder-model.onnx"
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, path)
    with pytest.raises(ModelError, match="is a model of 16-bit floats"):
        quantkit.load(folder)


def test_a_folder_of_another_layout_is_named(tmp_path: Path) -> None:
    shutil.copy(write_nemo_ctc(tmp_path / "ctc") / "model.onnx", tmp_path / "network.onnx")
    shutil.rmtree(tmp_path / "ctc")
    with pytest.raises(InputError, match=r"is a folder around an \.onnx: give --labels"):
        quantkit.load(tmp_path)
    for role in ("encoder", "decoder", "joiner"):
        shutil.copy(tmp_path / "network.onnx", tmp_path / f"my-{role}.onnx")
    with pytest.raises(InputError, match="in no layout that is known: their names begin with"):
        quantkit.load(tmp_path)


def test_the_onnx_of_a_folder_alone_is_not_enough(tmp_path: Path) -> None:
    folder = write_nemo(tmp_path / "tdt")
    with pytest.raises(InputError, match="is one of the files of"):
        quantkit.load(folder / "encoder-model.onnx")


def test_the_states_of_a_predictor_go_on_from_label_to_label(tmp_path: Path) -> None:
    """A model that forgot them would write something else."""
    path = quantkit.export(write_nemo(tmp_path / "tdt"), tmp_path / "x.onnx").path
    network = TransducerNetwork.load(path, transducer_settings(read_info(path).extra))
    frame = np.random.default_rng(0).standard_normal(WIDTH).astype(np.float32)
    first = network.step(frame, network.begin())
    second = network.step(frame, network.after(first, 3))
    forgotten = network.step(frame, type(first.memory)((3,), network.begin().states))
    assert np.abs(second.log_probs - forgotten.log_probs).max() > 1e-3
