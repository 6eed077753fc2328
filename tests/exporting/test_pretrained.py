"""Models of transformers as artifacts: names, metadata, dynamic axes, proof."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import onnx  # noqa: E402

from quantkit.audio.waveform_frontend import WaveformFrontend  # noqa: E402
from quantkit.disk.files import sha256_of  # noqa: E402
from quantkit.errors import InputError, ParityError  # noqa: E402
from quantkit.exporting import pretrained  # noqa: E402
from quantkit.exporting.pretrained import export_pretrained  # noqa: E402
from quantkit.graph.artifact import load_model, read_info  # noqa: E402
from quantkit.graph.layers import find_layers  # noqa: E402
from quantkit.runtime.recognizer import Recognizer  # noqa: E402
from quantkit.tasks.open import open_speech_model  # noqa: E402
from tests.pretrained import CLASSES, save, tiny  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "tiny-wav2vec2", tiny("Wav2Vec2ForCTC"))


@pytest.fixture(scope="module")
def exported(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "float32.onnx"
    report = export_pretrained(folder, path)
    assert report.reference == "transformers"
    assert report.worst.difference < 1e-4
    return path


@pytest.fixture
def traced(exported: Path, monkeypatch: pytest.MonkeyPatch) -> onnx.ModelProto:
    """The graph of ``exported``, which further exports of the same model take."""
    proto = load_model(exported)
    del proto.metadata_props[:]
    monkeypatch.setattr(pretrained, "build_model", lambda *_: proto)
    return proto


def test_metadata_describes_the_model(exported: Path, folder: Path) -> None:
    info = read_info(exported)
    assert (info.task, info.name, info.licence) == ("ctc", "tiny-wav2vec2", "apache-2.0")
    assert (info.frontend, info.fused) == (WaveformFrontend(16_000, 30), True)
    assert info.labels is not None
    assert info.labels.tokens[4:7] == (" ", "E", "T")
    assert info.model_sha256 == sha256_of(folder / "model.safetensors")
    assert info.plan is not None
    assert {layer["codec"] for layer in info.plan["layers"]} == {"float32"}


def test_layers_have_the_names_of_their_modules(exported: Path) -> None:
    layers = {layer.name: layer.weight for layer in find_layers(onnx.load(exported))}
    names = [
        *(f"feature_extractor.conv_layers.{i}.conv" for i in range(3)),
        "feature_projection.projection",
        "encoder.pos_conv_embed.conv",
        *(
            f"encoder.layers.{i}.{part}"
            for i in range(2)
            for part in (
                *(f"attention.{p}_proj" for p in ("q", "k", "v", "out")),
                "feed_forward.intermediate_dense",
                "feed_forward.output_dense",
            )
        ),
        "lm_head",
    ]
    assert list(layers) == names
    assert layers == {name: f"{name}.weight" for name in names}


def test_normalised_weights_are_plain_and_nothing_is_there_twice(exported: Path) -> None:
    graph = onnx.load(exported).graph
    assert not any("original" in tensor.name for tensor in graph.initializer)
    contents = [(t.data_type, tuple(t.dims), t.raw_data) for t in graph.initializer]
    assert len(set(contents)) == len(contents)
    assert not any(node.doc_string or node.metadata_props for node in graph.node)


def test_a_clip_does_not_depend_on_its_batch(exported: Path) -> None:
    recognizer = Recognizer.load(exported)
    generator = np.random.default_rng(0)
    clips = [generator.standard_normal(n).astype(np.float32) for n in (30, 555, 901)]
    together = recognizer.log_probs(clips)
    assert [len(found) for found in together] == [1, 27, 44]
    for clip, batched in zip(clips, together, strict=True):
        (alone,) = recognizer.log_probs([clip])
        np.testing.assert_allclose(batched, alone, rtol=1e-4, atol=1e-4)


def test_wide_first_layers_are_normalised_by_their_samples(tmp_path: Path) -> None:
    model = tiny("Wav2Vec2ForCTC", conv_kernel=(2, 3, 2), conv_stride=(2, 2, 2))
    path = tmp_path / "float32.onnx"
    report = export_pretrained(save(tmp_path / "wide", model), path)
    assert report.worst.difference < 1e-4
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    makers = {name: node for node in graph.node for name in node.output}
    doubles = [n for n in graph.node if types.get(n.output[0]) == onnx.TensorProto.DOUBLE]
    products = [node for node in doubles if node.op_type == "MatMul"]
    assert len(products) == 2
    for product in products:
        # ONNX Runtime before 1.24 would fuse it, and has no kernel for the two in doubles.
        assert "Transpose" not in {makers[name].op_type for name in product.input}


def test_a_batch_that_is_too_short_for_a_frame_has_none(exported: Path) -> None:
    recognizer = Recognizer.load(exported)
    found = recognizer.log_probs([np.ones(n, np.float32) for n in (2, 29)])
    assert [len(output) for output in found] == [0, 0]


def test_a_classifier_is_an_artifact_too(tmp_path: Path) -> None:
    folder = save(tmp_path / "kws", tiny("Wav2Vec2ForSequenceClassification"))
    path = tmp_path / "kws.onnx"
    export_pretrained(folder, path, name="spotter")
    info = read_info(path)
    assert (info.task, info.classes, info.labels) == ("classification", CLASSES, None)
    assert [value.name for value in load_model(path).graph.output] == ["log_probs"]
    model = open_speech_model(path)
    (output,) = model.outputs([np.ones(500, np.float32)])
    assert model.text_of(output) in CLASSES


@pytest.mark.usefixtures("traced")
def test_large_weights_go_to_a_file_beside_the_model(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    export_pretrained(folder, path, external_threshold=1_000)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["big.onnx", "big.onnx.data"]
    assert Recognizer.load(path).log_probs([np.ones(500, np.float32)])[0].shape == (24, 12)


def test_a_failed_parity_check_leaves_the_old_file(
    folder: Path, tmp_path: Path, traced: onnx.ModelProto
) -> None:
    path = tmp_path / "float32.onnx"
    path.write_bytes(b"what was there")
    bias = next(t for t in traced.graph.initializer if t.name == "lm_head.bias")
    bias.raw_data = np.ones(tuple(bias.dims), np.float32).tobytes()
    with pytest.raises(ParityError, match="differs from transformers"):
        export_pretrained(folder, path)
    assert path.read_bytes() == b"what was there"
    assert [file.name for file in tmp_path.iterdir()] == ["float32.onnx"]


def test_what_does_not_fit_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="opset 17 is not supported"):
        export_pretrained(folder, tmp_path / "a.onnx", opset=17)
    before = (folder / "vocab.json").read_bytes()
    with pytest.raises(InputError, match="itself read by this command"):
        export_pretrained(folder, folder / "vocab.json")
    assert (folder / "vocab.json").read_bytes() == before
