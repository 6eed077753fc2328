"""Temporary files go with their process, however it ends, and never those of another that lives."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from quantkit.disk import temporary
from quantkit.disk.locks import HAVE_LOCKS
from quantkit.disk.temporary import (
    TemporaryFolder,
    remove_abandoned,
    remove_all_of_this_process,
    temporary_file,
)
from quantkit.errors import OutputError

needs_locks = pytest.mark.skipif(not HAVE_LOCKS, reason="needs locks of POSIX")

# Makes a temporary folder and a file, says so, and waits.
_LIVING = """
import sys, time
from pathlib import Path
from quantkit.disk.temporary import TemporaryFolder, temporary_file
beside = Path(sys.argv[1])
folder, file = TemporaryFolder("size", beside), temporary_file(beside, ".onnx")
(folder.path / "weights").write_text("w")
file.__enter__()
print("made", flush=True)
time.sleep(600)
"""


@pytest.fixture
def another(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has a temporary folder and a file in ``tmp_path``."""
    with subprocess.Popen(
        [sys.executable, "-c", _LIVING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "made\n"
        yield process
        process.kill()


class TestOneProcess:
    def test_a_folder_goes_with_its_block(self) -> None:
        with TemporaryFolder("size") as folder:
            (folder / "a").write_text("a")
            assert folder.parent == Path(tempfile.gettempdir())
        assert not folder.exists()

    @pytest.mark.slow
    def test_a_folder_goes_with_its_object(self) -> None:
        made = TemporaryFolder()
        path = made.path
        del made
        gc.collect()
        assert not path.exists()

    def test_a_file_that_took_its_place_stays_there(self, tmp_path: Path) -> None:
        with temporary_file(tmp_path, ".txt") as path:
            path.replace(tmp_path / "result.txt")
        assert [file.name for file in tmp_path.iterdir()] == ["result.txt"]

    def test_all_can_be_removed_at_once(self, tmp_path: Path) -> None:
        kept = [TemporaryFolder("size", tmp_path), TemporaryFolder("walk", tmp_path)]
        remove_all_of_this_process()
        assert list(tmp_path.iterdir()) == []
        del kept

    def test_only_its_user_can_look_into_it(self, tmp_path: Path) -> None:
        with TemporaryFolder("size", tmp_path) as folder:
            assert folder.stat().st_mode & 0o077 == 0

    def test_a_folder_that_cannot_be_made_is_one_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        with pytest.raises(
            OutputError, match=r"temporary files in .*missing: No such.*TMPDIR name another"
        ):
            TemporaryFolder("size")


def test_nothing_else_makes_temporary_files() -> None:
    package = Path(temporary.__file__).parents[1]
    makers = re.compile(r"mkdtemp|mkstemp|TemporaryDirectory|NamedTemporaryFile")
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if makers.search(path.read_text(encoding="utf-8"))
    }
    # The one stands in a folder of ours; the other runs where nothing of ours is installed.
    assert found == {"calibration/clip_store.py"}


@needs_locks
class TestOtherProcesses:
    def test_what_a_living_one_has_is_left_alone(
        self, tmp_path: Path, another: subprocess.Popen[str]
    ) -> None:
        before = sorted(tmp_path.iterdir())
        remove_abandoned(tmp_path)
        assert sorted(tmp_path.iterdir()) == before
        assert len(before) == 2
        assert another.poll() is None

    def test_what_a_killed_one_left_is_removed(
        self, tmp_path: Path, another: subprocess.Popen[str]
    ) -> None:
        another.kill()
        another.wait()
        assert len(list(tmp_path.iterdir())) == 2
        remove_abandoned(tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_whoever_writes_there_next_removes_it(
        self, tmp_path: Path, another: subprocess.Popen[str]
    ) -> None:
        another.kill()
        another.wait()
        with temporary_file(tmp_path, ".txt") as path:
            assert list(tmp_path.iterdir()) == [path]

    def test_only_names_that_are_surely_ours_count(self, tmp_path: Path) -> None:
        with temporary_file(tmp_path, ".onnx") as ours:
            host = ours.name.split("-")[1]
        names = [
            "model.onnx",
            ".quantkit-notes",
            "quantkit-2024-results",
            f"quantkit-{host}-mine",
            ".quantkit-000000-0123456789ab.onnx",  # of another host
        ]
        for name in names:
            (tmp_path / name).write_text("keep")
        (tmp_path / f".quantkit-{host}-0123456789ab").symlink_to(tmp_path / "model.onnx")
        remove_abandoned(tmp_path)
        assert len(list(tmp_path.iterdir())) == len(names) + 1

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_of_such_a_name_is_not_opened(self, tmp_path: Path) -> None:
        with temporary_file(tmp_path, ".onnx") as ours:
            name = ours.name
        os.mkfifo(tmp_path / name)
        remove_abandoned(tmp_path)
        assert (tmp_path / name).is_fifo()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_process_takes_nothing_along(self, tmp_path: Path) -> None:
        code = (
            "import os, sys; from pathlib import Path; from quantkit.disk.temporary import *; "
            f"folder = TemporaryFolder('size', Path({str(tmp_path)!r}))\n"
            "if os.fork() == 0: sys.exit()\n"
            "os.wait(); print(folder.path.exists())"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout == "True\n"
        assert list(tmp_path.iterdir()) == []

    def test_a_signal_that_python_never_sees_leaves_it_to_the_next(
        self, tmp_path: Path, another: subprocess.Popen[str]
    ) -> None:
        another.send_signal(signal.SIGABRT)
        another.wait()
        TemporaryFolder("size", tmp_path).cleanup()
        assert list(tmp_path.iterdir()) == []
