"""A disk that refuses: what was there stays, nothing half is left, and one line says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.small import write_corpus, write_model
from tests.cli.shell import run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs limits of POSIX")

# Lets no file grow beyond a limit, as a full disk does.
_ON_A_FULL_DISK = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from quantkit.cli import main
main(json.loads(sys.argv[2]))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a model, a corpus, and something of an earlier run."""
    monkeypatch.setenv("QUANTKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmp").mkdir()
    write_model(tmp_path)
    write_corpus(tmp_path / "corpus", {"calibration": 2, "test": 2})
    (tmp_path / "LICENCE").write_text("free")
    (tmp_path / "result.onnx").write_text("earlier")
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "cache" not in path.parts
    }


COMMANDS = [
    "quantize float32.onnx --preset static-int8 --audio corpus -o result.onnx",
    "quantize float32.onnx --preset int8 -o result.onnx",
    "personalize float32.onnx --audio corpus --budget 40kB --rounds 1 -o result.onnx",
    "inspect float32.onnx --runtime",
    "ship float32.onnx -o bundle",
]


@pytest.mark.slow
@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("limit", [0, 20_000])
def test_a_full_disk_loses_nothing(place: Path, line: str, limit: int) -> None:
    before = content(place)
    done = subprocess.run(
        [sys.executable, "-c", _ON_A_FULL_DISK, str(limit), json.dumps(line.split())],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert content(place) == before
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot" in done.stderr.splitlines()[-1]
    assert sorted(path.name for path in place.iterdir()) == sorted(
        {*(name.split("/")[0] for name in before), "tmp", *_cache_of(place)}
    )


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_found_out_first(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "locked").mkdir(mode=0o500)
    assert run("quantize", "float32.onnx", "--preset", "int8", "-o", "locked/a.onnx") == 2
    assert "cannot write to locked/a.onnx: Permission denied" in capsys.readouterr().err


class TestCache:
    ARGUMENTS = ("analyze", "float32.onnx", "--audio", "corpus", "-o", "table.json")

    @pytest.mark.slow
    @pytest.mark.parametrize("damage", [b"", b"{", b"\xff" * 50, b"[" * 100_000, b'{"schema": 1}'])
    def test_a_damaged_part_counts_as_missing(
        self, place: Path, damage: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(*self.ARGUMENTS) == 0
        first = (place / "table.json").read_bytes()
        parts = [path for path in (place / "cache").rglob("*") if path.is_file()]
        assert parts
        for part in parts:
            part.write_bytes(damage)
        assert run(*self.ARGUMENTS) == 0
        assert (place / "table.json").read_bytes() == first

    @pytest.mark.slow
    def test_one_that_cannot_be_a_folder_is_done_without(
        self, place: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (place / "cache").write_text("no folder")
        assert run(*self.ARGUMENTS) == 0
        assert "going on without a cache" in capsys.readouterr().err


def _cache_of(folder: Path) -> list[str]:
    return ["cache"] if (folder / "cache").exists() else []
