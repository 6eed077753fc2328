"""Every byte of an artifact counts, and the file is an ordinary ONNX model all the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.errors import ModelError
from quantkit.graph.artifact import PRODUCER, load_model, read_info, save_model, total_size
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.graph.integrity import (
    CHECKSUM_KEY,
    append_checksum,
    check_integrity,
    stored_checksum,
)
from quantkit.text.labels import Labels

TRAILER_BYTES = 85


def dense(width: int = 8) -> onnx.ModelProto:
    weight = np.arange(40 * width, dtype=np.float32).reshape(40, width)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="dense")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 40])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", width])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    plan = {"schema": "quantkit.plan/1", "layers": [{"name": "dense"}]}
    set_info(model, ArtifactInfo(Labels.english(), Frontend(), task="ctc", plan=plan))
    return model


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    save_model(dense(), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.fixture
def outside(tmp_path: Path) -> tuple[Path, Path]:
    """An artifact whose weights lie in a file of their own, and that file."""
    save_model(dense(), tmp_path / "big.onnx", external_threshold=0)
    return tmp_path / "big.onnx", tmp_path / "big.onnx.data"


class TestFormat:
    def test_the_checksum_is_the_sha256_of_all_bytes_before_it(self, artifact: Path) -> None:
        content = artifact.read_bytes()
        digest = hashlib.sha256(content[:-TRAILER_BYTES]).hexdigest()
        assert content.endswith(digest.encode())
        assert stored_checksum(artifact) == digest

    def test_external_weights_count_after_the_model(self, outside: tuple[Path, Path]) -> None:
        path, data = outside
        hashed = path.read_bytes()[:-TRAILER_BYTES] + data.read_bytes()
        assert stored_checksum(path) == hashlib.sha256(hashed).hexdigest()

    def test_the_file_is_an_ordinary_model_with_one_more_entry(self, artifact: Path) -> None:
        model = onnx.load(artifact)
        onnx.checker.check_model(model, full_check=True)
        last = model.metadata_props[-1]
        assert (last.key, last.value) == (CHECKSUM_KEY, stored_checksum(artifact))
        session = onnxruntime.InferenceSession(artifact, providers=["CPUExecutionProvider"])
        assert session.get_modelmeta().custom_metadata_map[CHECKSUM_KEY] == last.value

    def test_a_file_that_protobuf_writes_again_unchanged_still_matches(
        self, artifact: Path
    ) -> None:
        before = artifact.read_bytes()
        artifact.write_bytes(onnx.load(artifact).SerializeToString(deterministic=True))
        assert artifact.read_bytes() == before

    def test_files_longer_than_what_is_read_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("quantkit.graph.integrity._CHUNK_BYTES", 999)
        content = bytes(range(256)) * 40
        path, data = tmp_path / "model", tmp_path / "data"
        path.write_bytes(content)
        data.write_bytes(content[::-1])
        append_checksum(path, [data])
        assert stored_checksum(path) == hashlib.sha256(content + content[::-1]).hexdigest()
        check_integrity(path, [data])


class TestSavingAgain:
    def test_a_loaded_model_does_not_carry_the_old_checksum(self, artifact: Path) -> None:
        assert CHECKSUM_KEY not in {entry.key for entry in load_model(artifact).metadata_props}

    @pytest.mark.parametrize("load", [load_model, onnx.load])
    def test_a_changed_model_gets_one_new_checksum(
        self, artifact: Path, load: Callable[[Path], onnx.ModelProto]
    ) -> None:
        before = stored_checksum(artifact)
        model = load(artifact)
        model.graph.doc_string = "changed"
        save_model(model, artifact)
        assert stored_checksum(artifact) != before
        assert artifact.read_bytes().count(CHECKSUM_KEY.encode()) == 1
        read_info(artifact)

    def test_the_same_model_gets_the_same_bytes(self, artifact: Path) -> None:
        before = artifact.read_bytes()
        save_model(load_model(artifact), artifact)
        assert artifact.read_bytes() == before

    def test_new_metadata_drops_it(self, artifact: Path) -> None:
        model = onnx.load(artifact)
        set_info(model, ArtifactInfo(task="ctc"))
        assert [e.key for e in model.metadata_props] == ["quantkit.opset", "quantkit.task"]


class TestForeign:
    @pytest.fixture
    def foreign(self) -> onnx.ModelProto:
        model = dense()
        del model.metadata_props[:]
        model.metadata_props.add(key="author", value="someone")
        return model

    def test_a_model_without_our_metadata_needs_no_checksum(
        self, foreign: onnx.ModelProto, tmp_path: Path
    ) -> None:
        onnx.save(foreign, tmp_path / "f.onnx")
        assert read_info(tmp_path / "f.onnx") == ArtifactInfo()
        assert load_model(tmp_path / "f.onnx") == foreign
        assert stored_checksum(tmp_path / "f.onnx") == ""

    def test_and_gets_none(self, foreign: onnx.ModelProto, tmp_path: Path) -> None:
        for threshold in (0, 1_000_000):
            save_model(foreign, tmp_path / "f.onnx", external_threshold=threshold)
            assert stored_checksum(tmp_path / "f.onnx") == ""


class TestDamage:
    @pytest.mark.slow
    @pytest.mark.parametrize("threshold", [0, 1_000_000])
    def test_every_flipped_byte_is_an_error(self, tmp_path: Path, threshold: int) -> None:
        artifact = tmp_path / "m.onnx"
        save_model(dense(), artifact, external_threshold=threshold)
        content = artifact.read_bytes()
        for position, byte in enumerate(content):
            for flipped in (byte ^ 1 << position % 8, byte ^ 0xFF):
                damaged = bytearray(content)
                damaged[position] = flipped
                artifact.write_bytes(damaged)
                for read in (read_info, load_model):
                    with pytest.raises(ModelError):
                        read(artifact)

    @pytest.mark.parametrize("where", ["weights", "checksum"])
    def test_the_message_says_what_to_do(self, artifact: Path, where: str) -> None:
        content = bytearray(artifact.read_bytes())
        weights = content.index(np.arange(40 * 8, dtype=np.float32).tobytes())
        content[{"weights": weights + 100, "checksum": len(content) - 1}[where]] ^= 1
        artifact.write_bytes(content)
        expected = r"m\.onnx is damaged: its content does not match .*; fetch or make it again$"
        for read in (read_info, load_model):
            with pytest.raises(ModelError, match=expected):
                read(artifact)

    def test_every_flipped_byte_of_external_weights_is_an_error(
        self, outside: tuple[Path, Path]
    ) -> None:
        path, data = outside
        content = data.read_bytes()
        for position in range(0, len(content), 7):
            damaged = bytearray(content)
            damaged[position] ^= 1 << position % 8
            data.write_bytes(damaged)
            with pytest.raises(ModelError, match="does not match its checksum"):
                read_info(path)

    def test_weights_of_another_model_beside_it(self, outside: tuple[Path, Path]) -> None:
        path, data = outside
        other = dense(width=8)
        other.graph.initializer[0].raw_data = bytes(40 * 8 * 4)
        save_model(other, path.with_name("other.onnx"), external_threshold=0)
        path.with_name("other.onnx.data").replace(data)
        with pytest.raises(ModelError, match="does not match its checksum"):
            load_model(path)

    def test_longer_or_shorter_external_weights(self, outside: tuple[Path, Path]) -> None:
        path, data = outside
        content = data.read_bytes()
        for changed in (content[:-1], content + b"\0", b""):
            data.write_bytes(changed)
            with pytest.raises(ModelError, match="does not match its checksum"):
                read_info(path)

    @pytest.mark.slow
    def test_cut_off_anywhere_there_is_an_error_or_no_metadata_left(self, artifact: Path) -> None:
        content = artifact.read_bytes()
        silent = []
        for kept in range(len(content)):
            artifact.write_bytes(content[:kept])
            try:
                info = read_info(artifact)
            except ModelError:
                continue
            assert info == ArtifactInfo()
            silent.append(kept)
        # Right behind the operator sets: a whole model of which nothing says whose it is.
        assert len(silent) == 1

    def test_bytes_added_at_the_end(self, artifact: Path) -> None:
        content = artifact.read_bytes()
        entry = onnx.ModelProto(metadata_props=[{"key": "author", "value": "me"}])
        for added in (b"\0", entry.SerializeToString(), content[-TRAILER_BYTES:]):
            artifact.write_bytes(content + added)
            with pytest.raises(ModelError):
                read_info(artifact)

    def test_a_model_that_another_tool_changed(self, artifact: Path) -> None:
        model = onnx.load(artifact)
        model.graph.node[0].name = "other"
        onnx.save(model, artifact)
        with pytest.raises(ModelError, match="another tool changed it"):
            read_info(artifact)
        del model.metadata_props[-1]
        onnx.save(model, artifact)
        with pytest.raises(ModelError, match=r"not the checksum at its end.*another tool"):
            read_info(artifact)

    def test_what_was_compared_already_is_not_compared_again(self, artifact: Path) -> None:
        content = bytearray(artifact.read_bytes())
        content[-1] ^= 1
        artifact.write_bytes(content)
        assert read_info(artifact, check=False).task == "ctc"
        assert load_model(artifact, check=False).graph.node[0].name == "dense"
        assert total_size(artifact) == len(content)
        with pytest.raises(ModelError):
            check_integrity(artifact)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"cannot read .*gone"):
            check_integrity(tmp_path / "gone")


def test_file_cut_off_between_graph_and_metadata_is_no_foreign_model(tmp_path: Path) -> None:
    model = dense()
    model.producer_name = PRODUCER
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "cut.onnx")
    with pytest.raises(ModelError, match="is damaged"):
        read_info(tmp_path / "cut.onnx")
