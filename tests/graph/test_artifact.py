"""Artifacts come back from disk as they were written, and files that are none are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from quantkit.audio.frontend import Frontend
from quantkit.disk.locks import HAVE_LOCKS
from quantkit.errors import ModelError, OutputError
from quantkit.graph.artifact import (
    load_model,
    open_model,
    read_info,
    save_checked_model,
    save_model,
    total_size,
)
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.text.labels import Labels


def test_info_survives_the_way_to_disk(model: onnx.ModelProto, tmp_path: Path) -> None:
    info = ArtifactInfo(
        labels=Labels.english(),
        frontend=Frontend(mel_bands=23),
        fused=True,
        task="ctc",
        plan={"schema": "quantkit.plan/1", "layers": []},
        model_sha256="00ff",
        version="1.2.3",
        name="größer",
        licence="CC0-1.0",
    )
    set_info(model, info)
    save_model(model, tmp_path / "m.onnx")
    assert read_info(tmp_path / "m.onnx") == info


def test_foreign_model_has_empty_info(model: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(model, tmp_path / "m.onnx")
    assert read_info(tmp_path / "m.onnx") == ArtifactInfo()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read model"):
        load_model(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"RIFF....WAVEfmt ", b"\x08\x08", b"hello world"])
def test_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="is not an ONNX model, or is cut off"):
        read_info(tmp_path / "m.onnx")


def test_cut_off_at_any_place(model: onnx.ModelProto, tmp_path: Path) -> None:
    content = model.SerializeToString()
    path = tmp_path / "m.onnx"
    for kept in range(0, len(content), 97):
        path.write_bytes(content[:kept])
        with pytest.raises(ModelError, match="cut off"):
            load_model(path)


def test_external_weights(model: onnx.ModelProto, tmp_path: Path) -> None:
    before = model.SerializeToString()
    path = tmp_path / "m.onnx"
    save_model(model, path, external_threshold=7999)
    assert model.SerializeToString() == before
    assert (tmp_path / "m.onnx.data").stat().st_size == 8000
    assert total_size(path) == path.stat().st_size + 8000
    assert path.stat().st_size < 1000
    assert read_info(path) == ArtifactInfo()
    assert load_model(path).graph.initializer[0].raw_data == model.graph.initializer[0].raw_data


@pytest.mark.parametrize("before", [0, 8000])
@pytest.mark.parametrize("after", [0, 8000])
def test_an_opened_model_leaves_its_weights_in_the_file_until_it_is_saved(
    before: int, after: int, model: onnx.ModelProto, tmp_path: Path
) -> None:
    source, path = tmp_path / "source.onnx", tmp_path / "copy.onnx"
    save_model(model, source, external_threshold=before)
    opened = open_model(source)
    assert not opened.graph.initializer[0].raw_data
    save_model(opened, path, external_threshold=after)
    assert load_model(path) == load_model(source) == model


def test_weights_within_the_threshold_stay_inside(model: onnx.ModelProto, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m.onnx", external_threshold=8000)
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]
    assert total_size(tmp_path / "m.onnx") == (tmp_path / "m.onnx").stat().st_size


def test_missing_or_short_external_file(model: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    save_model(model, path, external_threshold=0)
    data = tmp_path / "m.onnx.data"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(ModelError, match="external weights cannot be read"):
        load_model(path)
    data.unlink()
    for read in (load_model, total_size):
        with pytest.raises(ModelError, match=r"weights file m\.onnx\.data is missing"):
            read(path)


def test_external_file_outside_the_folder_is_refused(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    path = tmp_path / "inner" / "m.onnx"
    save_model(model, path, external_threshold=0)
    (tmp_path / "secret").write_bytes(b"\0" * 8000)
    proto = onnx.load(path, load_external_data=False)
    for entry in proto.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../secret"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="lies outside its folder"):
        load_model(path)


def test_a_failed_write_leaves_the_old_model_and_nothing_else(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(OutputError, match="cannot write"):
        save_model(model, tmp_path / "file" / "m.onnx")
    assert [f.name for f in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("threshold", [0, 8000])
def test_a_link_to_a_model_is_written_through(
    model: onnx.ModelProto, tmp_path: Path, threshold: int
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    link = tmp_path / "link.onnx"
    link.symlink_to(store / "real.onnx")
    for write in (
        lambda: save_model(model, link, external_threshold=threshold),
        lambda: save_checked_model(model, link, load_model, external_threshold=threshold),
    ):
        write()
        assert link.is_symlink()
        assert load_model(store / "real.onnx").graph.node[0].name == "dense"
        (store / "real.onnx").unlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_is_not_replaced(model: onnx.ModelProto, tmp_path: Path) -> None:
    pipe, folder = tmp_path / "pipe.onnx", tmp_path / "folder.onnx"
    os.mkfifo(pipe)
    folder.mkdir()
    checked: list[Path] = []
    for path in (pipe, folder):
        with pytest.raises(OutputError, match=r"it is a (pipe or device|folder)"):
            save_model(model, path)
        with pytest.raises(OutputError, match=r"it is a (pipe or device|folder)"):
            save_checked_model(model, path, checked.append)
    assert pipe.is_fifo()
    assert folder.is_dir()
    assert checked == []


_WRITTEN_AND_KILLED = """
import os, pathlib, sys
source, target, rename = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
count, real = -1, pathlib.Path.replace
def replace(self, target):
    global count
    count += 1
    return os._exit(9) if count == rename else real(self, target)
pathlib.Path.replace = replace
from quantkit.graph.artifact import load_model, save_model
save_model(load_model(source), target, external_threshold=0)
"""


@pytest.mark.slow
@pytest.mark.skipif(not HAVE_LOCKS, reason="needs locks of POSIX")
@pytest.mark.parametrize("rename", range(4))
def test_a_model_of_two_files_opens_after_a_kill_between_their_renames(
    model: onnx.ModelProto, tmp_path: Path, rename: int
) -> None:
    target, source = tmp_path / "m.onnx", tmp_path / "new.onnx"
    for name, path in (("old", target), ("new", source)):
        set_info(model, ArtifactInfo(name=name))
        model.graph.initializer[0].raw_data = bytes(
            255 - byte for byte in model.graph.initializer[0].raw_data
        )
        save_model(model, path, external_threshold=0)
    command = [sys.executable, "-c", _WRITTEN_AND_KILLED, str(source), str(target), str(rename)]
    subprocess.run(command, check=False)
    # The checksum covers both files.
    assert read_info(target).name == ("old" if rename < 2 else "new")
    assert open_model(target).graph.initializer[0].name == model.graph.initializer[0].name
