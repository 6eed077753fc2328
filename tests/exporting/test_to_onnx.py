"""The exported file: names, metadata, dynamic axes, opset, external weights."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import onnx  # noqa: E402

from quantkit.audio.frontend import Frontend  # noqa: E402
from quantkit.disk.files import sha256_of  # noqa: E402
from quantkit.errors import InputError, OutputError, ParityError  # noqa: E402
from quantkit.exporting import to_onnx  # noqa: E402
from quantkit.exporting.to_onnx import export_checkpoint, export_wav2letter  # noqa: E402
from quantkit.graph.artifact import load_model, read_info, total_size  # noqa: E402
from quantkit.graph.layers import find_layers  # noqa: E402
from quantkit.models.checkpoint import save_wav2letter  # noqa: E402
from quantkit.models.wav2letter import Wav2Letter  # noqa: E402
from quantkit.runtime.recognizer import Recognizer  # noqa: E402
from quantkit.text.labels import Labels  # noqa: E402


@pytest.fixture(scope="module")
def exported(model: Wav2Letter, labels: Labels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "float32.onnx"
    export_wav2letter(
        model, labels, Frontend(), path, name="tiny", licence="MIT", model_sha256="ab" * 32
    )
    return path


def test_opset_and_ir_version_are_those_of_old_runtimes(exported: Path) -> None:
    proto = onnx.load(exported)
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", 18)]
    assert proto.ir_version == 8


def test_the_eleven_convolutions_are_named_and_hold_every_parameter(
    exported: Path, model: Wav2Letter
) -> None:
    layers = find_layers(onnx.load(exported))
    assert [layer.name for layer in layers] == [f"layer{i}.conv" for i in range(1, 12)]
    assert [layer.weight for layer in layers] == [f"layer{i}.weight" for i in range(1, 12)]
    unfolded = sum(p.numel() for n, p in model.named_parameters() if "norm" not in n)
    assert sum(layer.parameters for layer in layers) == unfolded


def test_metadata_describes_the_model(exported: Path, labels: Labels) -> None:
    info = read_info(exported)
    assert (info.labels, info.frontend, info.fused) == (labels, Frontend(), False)
    assert (info.task, info.name, info.licence) == ("ctc", "tiny", "MIT")
    assert info.model_sha256 == "ab" * 32
    assert info.plan is not None
    assert info.plan["schema"] == "quantkit.plan/1"
    assert [layer["codec"] for layer in info.plan["layers"]] == ["float32"] * 11


def test_graph_holds_nothing_twice_nothing_dead_and_nothing_of_this_machine(
    exported: Path,
) -> None:
    proto = onnx.load(exported)
    graph = proto.graph
    used = {name for node in graph.node for name in node.input}
    used |= {value.name for value in graph.output}
    assert all(set(node.output) & used for node in graph.node)
    assert {tensor.name for tensor in graph.initializer} <= used
    contents = [(t.data_type, tuple(t.dims), t.raw_data) for t in graph.initializer]
    assert len(set(contents)) == len(contents)
    assert not graph.value_info
    assert not any(node.doc_string or node.metadata_props for node in graph.node)
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    assert all(names)
    text = exported.read_bytes()
    assert not re.search(rb"/(home|root|work|usr|tmp)/|\.py|site-packages|torch", text)


def test_lengths_are_halved_as_integers(exported: Path) -> None:
    assert not {"Floor", "Cast"} & {node.op_type for node in onnx.load(exported).graph.node}


@pytest.mark.parametrize("frames", [2, 3, 47, 48, 49, 250])
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_batch_and_frames_are_dynamic(exported: Path, batch: int, frames: int) -> None:
    session = Recognizer.load(exported).session
    log_probs, lengths = session.run(
        None,
        {
            "features": np.zeros((batch, frames, 40), np.float32),
            "lengths": np.full(batch, frames, np.int64),
        },
    )
    assert log_probs.shape == (batch, frames // 2 + 1, 29)
    assert lengths.tolist() == [frames // 2 + 1] * batch


def test_a_clip_does_not_depend_on_its_batch(exported: Path) -> None:
    recognizer = Recognizer.load(exported)
    generator = np.random.default_rng(0)
    clips = [generator.standard_normal((n, 40)).astype(np.float32) for n in (1, 2, 33, 90, 161)]
    together = recognizer.log_probs(clips)
    for clip, batched in zip(clips, together, strict=True):
        (alone,) = recognizer.log_probs([clip])
        np.testing.assert_allclose(batched, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_large_weights_go_to_a_file_beside_the_model(
    model: Wav2Letter, labels: Labels, exported: Path, tmp_path: Path
) -> None:
    path = tmp_path / "big.onnx"
    export_wav2letter(model, labels, Frontend(), path, external_threshold=1000)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["big.onnx", "big.onnx.data"]
    assert total_size(path) == path.stat().st_size + (tmp_path / "big.onnx.data").stat().st_size
    outside = {t.name: t.raw_data for t in load_model(path).graph.initializer}
    inside = {t.name: t.raw_data for t in load_model(exported).graph.initializer}
    assert outside == inside
    clip = np.ones((30, 40), np.float32)
    np.testing.assert_array_equal(
        Recognizer.load(path).log_probs([clip])[0], Recognizer.load(exported).log_probs([clip])[0]
    )


@pytest.mark.slow
def test_with_frontend_takes_waveforms(model: Wav2Letter, labels: Labels, tmp_path: Path) -> None:
    path = tmp_path / "waveform.onnx"
    export_wav2letter(model, labels, Frontend(), path, with_frontend=True)
    info = read_info(path)
    assert info.fused
    assert info.frontend == Frontend()
    assert [layer.name for layer in find_layers(load_model(path))] == [
        f"layer{i}.conv" for i in range(1, 12)
    ]
    (log_probs,) = Recognizer.load(path).log_probs([np.zeros(16_000, np.float32)])
    assert log_probs.shape == (Frontend().frames_of(16_000) // 2 + 1, 29)


@pytest.mark.slow
def test_a_checkpoint_names_the_model_and_gives_its_checksum(
    model: Wav2Letter, labels: Labels, tmp_path: Path
) -> None:
    folder = tmp_path / "my-model"
    save_wav2letter(folder, model, labels, Frontend(), {"licence": "CC-BY-4.0"})
    path = tmp_path / "out" / "float32.onnx"
    report = export_checkpoint(folder, path, opset=21)
    assert report.worst.difference < 1e-4
    info = read_info(path)
    assert (info.name, info.licence) == ("my-model", "CC-BY-4.0")
    assert info.model_sha256 == sha256_of(folder / "model.safetensors")
    entries = {e.key: e.value for e in load_model(path).metadata_props}
    assert entries["quantkit.opset"] == "21"
    assert json.loads(entries["quantkit.frontend"])["fused"] is False


@pytest.mark.slow
def test_a_failed_parity_check_leaves_the_old_file(
    model: Wav2Letter, labels: Labels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "float32.onnx"
    path.write_bytes(b"what was there")
    real = to_onnx.build_model

    def forgetful(*arguments: object) -> onnx.ModelProto:
        proto = real(*arguments)  # type: ignore[arg-type]
        bias = next(t for t in proto.graph.initializer if t.name == "layer3.bias")
        bias.raw_data = np.ones(tuple(bias.dims), np.float32).tobytes()
        return proto

    monkeypatch.setattr(to_onnx, "build_model", forgetful)
    with pytest.raises(ParityError):
        export_wav2letter(model, labels, Frontend(), path)
    assert path.read_bytes() == b"what was there"
    assert [file.name for file in tmp_path.iterdir()] == ["float32.onnx"]


@pytest.mark.slow
def test_what_does_not_fit_is_said(model: Wav2Letter, labels: Labels, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    with pytest.raises(InputError, match="opset 17 is not supported; choose 18 to 23"):
        export_wav2letter(model, labels, Frontend(), path, opset=17)
    with pytest.raises(InputError, match="3 labels"):
        export_wav2letter(model, Labels(("_", "a", "b")), Frontend(), path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        export_wav2letter(model, labels, Frontend(), tmp_path / "file" / "a.onnx")
