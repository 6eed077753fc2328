"""Every result is looked at before the work begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.toy import call, refused


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"model")
    return tmp_path


def test_a_name_without_a_suffix_gets_it_and_the_user_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    params = call("toy", "model.onnx", "-o", "small", "--plan", "new/plan")
    assert params["output"] == Path("small.onnx")
    assert params["plan_file"] == Path("new/plan.json")
    said = capsys.readouterr().err
    assert "--output small has no suffix: writing small.onnx" in said
    assert not Path("new").exists(), "nothing is created before the work"


def test_a_file_without_the_suffix_is_not_what_is_meant() -> None:
    Path("small").write_text("another file")
    assert call("toy", "model.onnx", "-o", "small")["output"] == Path("small.onnx")


def test_another_suffix_is_refused_with_those_that_are_meant() -> None:
    assert refused("toy", "model.onnx", "-o", "small.bin") == (
        "--output takes a name that ends in .onnx, not small.bin"
    )
    assert "ends in .tsv or .png, not front" in refused(
        "toy", "model.onnx", "-o", "small.onnx", "--front", "front"
    )


def test_a_result_never_replaces_an_input() -> None:
    Path("link.onnx").symlink_to("model.onnx")
    for output in ("model.onnx", "link.onnx", "./model.onnx", "model"):
        assert "is itself read by this command" in refused("toy", "model.onnx", "-o", output)
    assert "is itself read by this command" in refused(
        "toy", "model.onnx", "-o", "small.onnx", "--plan", "model.onnx"
    )


def test_two_results_never_share_a_file() -> None:
    message = "is named for two results"
    assert message in refused("toy", "m", "-o", "a.onnx", "--plan", "b.json", "--times", "b.json")
    assert message in refused("toy", "m", "-o", "a.onnx", "--plan", "b", "--times", "./b.json")
    fronts = ("--front", "f.tsv", "--front", "f.tsv")
    assert message in refused("toy", "m", "-o", "a.onnx", *fronts)


def test_a_folder_in_the_place_of_a_file_is_named() -> None:
    Path("taken.onnx").mkdir()
    Path("taken").mkdir()
    assert "it is a folder" in refused("toy", "m", "-o", "taken.onnx")
    assert "it is a folder" in refused("toy", "m", "-o", "taken")


def test_a_file_in_the_place_of_a_folder_is_named(folder: Path) -> None:
    Path("taken").write_text("in the way")
    assert "Not a directory" in refused("toy", "m", "-o", "taken/small.onnx")
    assert "is a file; choose a folder" in refused("toy", "m", "-o", "a.onnx", "--report", "taken")
    assert "is a file, not a folder" in refused(
        "toy", "m", "-o", "a.onnx", "--report", "taken/report"
    )


def test_what_stands_in_the_place_of_a_file_of_a_folder_is_named() -> None:
    Path("report/index.html").mkdir(parents=True)
    assert "it is a folder" in refused("toy", "m", "-o", "a.onnx", "--report", "report")


def test_a_folder_that_cannot_be_written_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert refused("toy", "m", "-o", "a.onnx") == "cannot write to a.onnx: Permission denied"


def test_looking_leaves_nothing_behind(folder: Path) -> None:
    call("toy", "model.onnx", "-o", "new/small.onnx", "--report", "report")
    assert [path.name for path in folder.iterdir()] == ["model.onnx"]


def test_a_result_that_is_there_already_may_be_read_instead() -> None:
    Path("times.json").write_text("{}")
    assert call("toy", "m", "-o", "a.onnx", "--times", "times.json")["times"] == Path("times.json")
