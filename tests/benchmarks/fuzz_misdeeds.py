"""Cases that do what no case may; run by ``test_fuzz.py`` in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.fuzz.case import Answer, Case
from benchmarks.fuzz.worker import Worker


def _connect() -> None:
    with socket.socket() as unused:
        unused.settimeout(0)


def _fill_memory() -> None:
    del (block := bytearray(1_200_000_000))[:1]
    assert block is not None


def _raise() -> None:
    raise ZeroDivisionError


_MISDEEDS: dict[str, Callable[[], object]] = {
    "connect": _connect,
    "write outside": lambda: Path("../../../outside.txt").write_text("x"),
    "read a secret": lambda: Path("../../secret/secret.txt").read_text(),
    "leave a file": lambda: tempfile.mkstemp(),
    "print": lambda: os.write(2, b"hello"),
    "take memory": _fill_memory,
    "raise": _raise,
    "behave": lambda: Path("inside.txt").write_text("x"),
}


class _Misdeeds:
    name, share = "misdeeds", 1

    def prepare(self, seeds: Path) -> None:
        """Nothing."""

    def run(self, case: Case) -> Answer:
        [*_MISDEEDS.values()][case.number]()
        return "right"


def main(folder: Path) -> None:
    """Write the reason of each case into ``reports.json``."""
    home, keep = folder / "home", folder / "kept"
    keep.mkdir()
    os.environ["TMPDIR"] = str(home / "tmp")
    log = folder / "printed.log"
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 2)
    worker = Worker(0, folder, home, log, keep)
    reports = {name: worker.run(_Misdeeds(), n).reason for n, name in enumerate(_MISDEEDS)}
    (folder / "reports.json").write_text(json.dumps(reports))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
