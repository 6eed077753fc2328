"""A command that is asked to end cleans up after itself, and says so in its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX")

# `quantkit verify`, with another body.
_COMMAND = """
import signal, sys, time, types
import click
from quantkit.cli import main
from quantkit.disk.files import atomic_path
from quantkit.disk.temporary import TemporaryFolder
from pathlib import Path

# A shell has what it starts in the background ignore this one.
signal.signal(signal.SIGINT, signal.default_int_handler)

def wait(): time.sleep(600)
def wait_in_native_code():
    # As far as signals go: no handler of Python runs before it is over.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    import ctypes
    ctypes.CDLL(None).sleep(600)

@click.command()
def body():
    with TemporaryFolder("size"), atomic_path(Path("result.onnx")) as half:
        half.write_text("half")
        print("begun", flush=True)
        {wait}()

module = types.ModuleType("quantkit.cli.verify")
module.command = body
sys.modules[module.__name__] = module
main(["verify"])
"""


def ended_by(number: signal.Signals, folder: Path, wait: str = "wait") -> tuple[int, str]:
    """Exit code and standard error of a command that gets a signal while it writes."""
    (folder / "tmp").mkdir()
    (folder / "result.onnx").write_text("old")
    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND.format(wait=wait)],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        assert len(list((folder / "tmp").iterdir())) == 1
        process.send_signal(number)
        _, complaint = process.communicate()
        return process.returncode, complaint


def left_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    code, complaint = ended_by(number, tmp_path)
    assert code == 128 + number
    assert complaint == f"quantkit: ended by {number.name}\n"
    assert left_in(tmp_path) == ["result.onnx", "tmp"]
    assert (tmp_path / "result.onnx").read_text() == "old"


def test_an_interruption_is_130(tmp_path: Path) -> None:
    code, complaint = ended_by(signal.SIGINT, tmp_path)
    assert code == 130
    assert complaint.strip() == "quantkit: interrupted"
    assert left_in(tmp_path) == ["result.onnx", "tmp"]


def test_native_code_is_not_waited_for_without_end(tmp_path: Path) -> None:
    code, complaint = ended_by(signal.SIGTERM, tmp_path, "wait_in_native_code")
    assert code == 128 + signal.SIGTERM
    assert complaint == "quantkit: ended by SIGTERM\n"
    assert left_in(tmp_path) == ["result.onnx", "tmp"]


def test_what_a_killed_command_left_goes_with_the_next(tmp_path: Path) -> None:
    code, _ = ended_by(signal.SIGKILL, tmp_path)
    assert code == -signal.SIGKILL
    assert len(left_in(tmp_path)) == 4
    subprocess.run(
        [sys.executable, "-c", _COMMAND.format(wait="print")],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        check=True,
    )
    assert left_in(tmp_path) == ["result.onnx", "tmp"]
    assert (tmp_path / "result.onnx").read_text() == "half"


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    code = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from quantkit.cli.framework.signals import ended_by_signals\n"
        "with ended_by_signals(): os.kill(os.getpid(), signal.SIGHUP); print('goes on')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "goes on\n"
