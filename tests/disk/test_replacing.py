"""Several files at once: after any interruption, all are old or all are new."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from quantkit.disk import replacing
from quantkit.disk.journal import finish_renames, rename_together
from quantkit.disk.locks import HAVE_LOCKS
from quantkit.disk.replacing import replaced_folder, replaced_together, settled
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import OutputError


def write(folder: Path, word: str, names: tuple[str, ...] = ("m.onnx", "m.onnx.data")) -> None:
    for name in names:
        (folder / name).write_text(word)


def content(folder: Path) -> dict[str, str]:
    """Of the files that are not hidden."""
    files = (path for path in folder.glob("[!.]*") if path.is_file())
    return {path.name: path.read_text() for path in files}


def killed_at(rename: int, code: str, folder: Path) -> None:
    """Run ``code`` in a process that dies before its rename of this number, counted from 0."""
    program = f"""
import os, pathlib, sys
count = -1
real = pathlib.Path.replace
def replace(self, target):
    global count
    count += 1
    if count == {rename}:
        os._exit(9)
    return real(self, target)
pathlib.Path.replace = replace
from pathlib import Path
from tests.disk.test_replacing import *
os.chdir({str(folder)!r})
{code}
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode in (0, 9)


NEW_FILES = "with replaced_together(Path('m.onnx')) as folder: write(folder, 'new')"


class TestFiles:
    def test_they_appear_together(self, tmp_path: Path) -> None:
        with replaced_together(tmp_path / "m.onnx") as folder:
            write(folder, "new")
            assert content(tmp_path) == {}
        assert content(tmp_path) == {"m.onnx": "new", "m.onnx.data": "new"}
        assert len(list(tmp_path.iterdir())) == 2

    def test_in_a_temporary_folder_of_this_process_nothing_is_waited_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(replacing.time, "sleep", lambda _: pytest.fail("it waits for itself"))
        with TemporaryFolder("size") as folder:
            with replaced_together(folder / "m.onnx") as new:
                write(new, "new")
            assert content(folder) == {"m.onnx": "new", "m.onnx.data": "new"}
            assert not settled(folder)

    def test_a_failure_leaves_the_old_ones_and_nothing_else(self, tmp_path: Path) -> None:
        write(tmp_path, "old")

        def write_half() -> None:
            with replaced_together(tmp_path / "m.onnx") as folder:
                write(folder, "new", ("m.onnx.data",))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_half()
        assert content(tmp_path) == {"m.onnx": "old", "m.onnx.data": "old"}
        assert len(list(tmp_path.iterdir())) == 2

    def test_a_folder_in_the_way_of_one_stops_all(self, tmp_path: Path) -> None:
        write(tmp_path, "old", ("m.onnx",))
        (tmp_path / "m.onnx.data").mkdir()
        with (
            pytest.raises(OutputError, match=r"m\.onnx\.data: it is a folder"),
            replaced_together(tmp_path / "m.onnx") as folder,
        ):
            write(folder, "new")
        assert content(tmp_path) == {"m.onnx": "old"}

    def test_the_file_behind_a_link_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        (tmp_path / "m.onnx").symlink_to(tmp_path / "store" / "real.onnx")
        with replaced_together(tmp_path / "m.onnx") as folder:
            (folder / "real.onnx").write_text("new")
        assert (tmp_path / "m.onnx").read_text() == "new"
        assert (tmp_path / "m.onnx").is_symlink()

    @pytest.mark.skipif(not HAVE_LOCKS, reason="needs locks of POSIX")
    @pytest.mark.parametrize("rename", range(5))
    def test_killed_between_any_two_renames(self, tmp_path: Path, rename: int) -> None:
        write(tmp_path, "old")
        killed_at(rename, NEW_FILES, tmp_path)
        settled(tmp_path)
        assert set(content(tmp_path).values()) in ({"old"}, {"new"})
        # And the next one that writes there leaves nothing of it.
        with replaced_together(tmp_path / "m.onnx") as folder:
            write(folder, "newer")
        assert set(content(tmp_path).values()) == {"newer"}
        assert len(list(tmp_path.iterdir())) == 2

    @pytest.mark.slow
    @pytest.mark.skipif(not HAVE_LOCKS, reason="needs locks of POSIX")
    def test_of_two_processes_at_once_one_wins_whole(self, tmp_path: Path) -> None:
        code = (
            "import os, sys\nfrom pathlib import Path\nfrom tests.disk.test_replacing import *\n"
            "for number in range(40):\n"
            "    with replaced_together(Path(sys.argv[1])) as folder:\n"
            "        write(folder, f'{os.getpid()}-{number}')\n"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "m.onnx")]
        repository = Path(__file__).parents[2]
        writers = [subprocess.Popen(command, cwd=repository) for _ in range(2)]
        while any(writer.poll() is None for writer in writers):
            with replacing._alone_in(tmp_path):
                assert len(set(content(tmp_path).values())) <= 1
        assert [writer.returncode for writer in writers] == [0, 0]
        assert len(list(tmp_path.iterdir())) == 2


@pytest.fixture(params=["exchanged", "renamed"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without a system call that exchanges two names."""
    if request.param == "renamed":
        monkeypatch.setattr(replacing, "_exchanged", lambda new, old: False)


@pytest.mark.usefixtures("_both_ways")
class TestFolders:
    def test_an_earlier_one_is_replaced(self, tmp_path: Path) -> None:
        for word in ("old", "new"):
            with replaced_folder(tmp_path / "b", check=lambda: None) as folder:
                (folder / word).write_text(word)
        assert content(tmp_path / "b") == {"new": "new"}
        assert [path.name for path in tmp_path.iterdir()] == ["b"]

    def test_what_another_process_wrote_meanwhile_is_checked(self, tmp_path: Path) -> None:
        place = tmp_path / "b"

        def check() -> None:
            if place.exists():
                raise OutputError("it is there")

        def write_both() -> None:
            with replaced_folder(place, check) as new:
                (new / "mine").write_text("mine")
                place.mkdir()
                (place / "theirs").write_text("theirs")

        with pytest.raises(OutputError, match="it is there"):
            write_both()
        assert content(place) == {"theirs": "theirs"}
        assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.skipif(not HAVE_LOCKS, reason="needs locks of POSIX")
@pytest.mark.parametrize("rename", range(5))
def test_a_folder_is_old_or_new_after_a_kill(tmp_path: Path, rename: int) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old").write_text("old")
    code = (
        "replacing._exchanged = lambda new, old: False\n"
        "with replaced_folder(Path('b'), lambda: None) as folder: (folder / 'new').write_text('')"
    )
    killed_at(rename, code, tmp_path)
    settled(tmp_path)
    assert set(content(tmp_path / "b")) in ({"old"}, {"new"})


class TestNote:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> TemporaryFolder:
        return TemporaryFolder(beside=tmp_path)

    def test_a_note_is_finished_once(self, tmp_path: Path, folder: TemporaryFolder) -> None:
        write(folder.path, "new", ("a",))
        rename_together(folder.path, [(f"{folder.path.name}/a", "a")])
        (tmp_path / "a").write_text("newer")
        finish_renames(folder.path)
        assert (tmp_path / "a").read_text() == "newer"

    def test_what_was_not_begun_is_forgotten(self, tmp_path: Path, folder: TemporaryFolder) -> None:
        # Its owner has gone on with what is there.
        write(tmp_path, "old", ("a", "b"))
        write(folder.path, "new", ("a", "b"))
        moves = [[f"{folder.path.name}/{name}", name] for name in ("a", "b")]
        (folder.path / "renames.json").write_text(json.dumps(moves))
        finish_renames(folder.path)
        assert content(tmp_path) == {"a": "old", "b": "old"}
        (folder.path / "a").replace(tmp_path / "a")
        (folder.path / "renames.json").write_text(json.dumps(moves))
        finish_renames(folder.path)
        assert content(tmp_path) == {"a": "new", "b": "new"}

    @pytest.mark.parametrize(
        "moves",
        [
            lambda name: [[f"{name}/a", "../stolen"]],
            lambda name: [["../secret", f"{name}/a"]],
            lambda name: [[f"{name}/../secret", "stolen"]],
            lambda name: [["secret", "stolen"]],
            lambda name: [[f"{name}/a", "/stolen"]],
            lambda name: {"a": 1},
            lambda name: [["a"]],
        ],
    )
    def test_a_note_of_somebody_else_moves_nothing(
        self, tmp_path: Path, folder: TemporaryFolder, moves: Callable[[str], object]
    ) -> None:
        (tmp_path / "secret").write_text("secret")
        write(folder.path, "new", ("a",))
        (folder.path / "renames.json").write_text(json.dumps(moves(folder.path.name)))
        finish_renames(folder.path)
        assert content(tmp_path) == {"secret": "secret"}
        assert not (tmp_path.parent / "stolen").exists()
        assert list(folder.path.iterdir())
