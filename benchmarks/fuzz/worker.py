"""A process that runs cases one after the other: ``python -m benchmarks.fuzz.worker``.

It reads ``kind number`` from its input, a line for each case, and answers with a line of JSON. What
libraries print past Python goes to a log.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from benchmarks.fuzz.case import Case, Kind, Refused, WrongResult
from benchmarks.fuzz.guard import Guard

#: Bytes that a case may take, and seconds of processor time.
MEMORY_LIMIT, SECONDS_LIMIT = 1_000_000_000, 20.0
# Nothing may take the machine down with it.
_DATA_LIMIT = 4_000_000_000


@dataclass(frozen=True)
class Report:
    """What became of a case.

    Args:
        outcome: ``refused``, ``right`` or ``failed``.
        reason: of a refusal or a failure.
        seconds: of processor time.
    """

    kind: str
    number: int
    outcome: str
    reason: str = ""
    seconds: float = 0.0


def run_case(kind: Kind, number: int, seed: int, seeds: Path, folder: Path) -> tuple[str, str]:
    """Outcome and reason of one case, run in the working folder ``folder``, which is made."""
    folder.mkdir(parents=True)
    before = Path.cwd()
    case = Case(number, seeds, folder, random.Random(f"{seed}/{kind.name}/{number}"))
    try:
        os.chdir(folder)
        return kind.run(case), ""
    except Refused as refusal:
        return "refused", str(refusal)
    except WrongResult as wrong:
        return "failed", str(wrong)
    except MemoryError:
        return "failed", "out of memory"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-3:]
        places = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(where))
        return "failed", f"{type(error).__name__}: {error} ({places})"
    finally:
        os.chdir(before)


class Worker:
    """Runs cases under watch.

    Args:
        home: its own folder, for cases, temporary files and caches.
        log: what libraries print.
        keep: folder for what failed.
    """

    def __init__(self, seed: int, seeds: Path, home: Path, log: Path, keep: Path) -> None:
        self._seed, self._seeds, self._log, self._keep = seed, seeds, log, keep
        self._cases, self._temporary = home / "cases", home / "tmp"
        for folder in (self._cases, self._temporary, home / "secret"):
            folder.mkdir(parents=True, exist_ok=True)
        (home / "secret" / "secret.txt").write_text("not to be read")
        self._guard = Guard([home], home / "secret")

    def run(self, kind: Kind, number: int) -> Report:
        """One case; its folder is kept if it failed."""
        folder = self._cases / f"{kind.name}-{number}"
        printed = self._log.stat().st_size
        _forget_peak()
        memory, started = _peak_bytes(), time.process_time()
        with self._guard.watching():
            outcome, reason = run_case(kind, number, self._seed, self._seeds, folder)
        seconds = time.process_time() - started
        grown = _peak_bytes() - memory
        problems = [reason] if outcome == "failed" else []
        if grown > MEMORY_LIMIT:
            problems.append(f"took {grown / 1e6:.0f} MB")
        if seconds > SECONDS_LIMIT:
            problems.append(f"took {seconds:.0f} s of processor time")
        problems += self._guard.broken[:3]
        if left := self._left_behind():
            problems.append(f"left {left} in the folder for temporary files")
        if text := self._printed_since(printed):
            problems.append(f"a library printed: {text}")
        if problems:
            outcome, reason = "failed", "; ".join(problems)
            shutil.copytree(
                folder,
                self._keep / folder.name,
                symlinks=True,
                ignore=special_files,
                dirs_exist_ok=True,
            )
        shutil.rmtree(folder, ignore_errors=True)
        return Report(kind.name, number, outcome, reason[:2000], seconds)

    def _left_behind(self) -> list[str]:
        if not any(self._temporary.iterdir()):
            return []
        # What an exception held goes with it.
        gc.collect()
        left = sorted(path.name for path in self._temporary.iterdir())
        for path in self._temporary.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return left

    def _printed_since(self, position: int) -> str:
        with self._log.open("rb") as stream:
            stream.seek(position)
            return stream.read(1000).decode("utf-8", "replace").strip()


def special_files(folder: str, names: list[str]) -> list[str]:
    """Pipes and sockets, which cannot be copied."""
    paths = [Path(folder, name) for name in names]
    return [p.name for p in paths if not (p.is_symlink() or p.is_file() or p.is_dir())]


def _forget_peak() -> None:
    """Let the peak of the memory begin anew (Linux; elsewhere it goes on from before)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(seed: str, seeds: str, home: str, keep: str) -> None:
    """Answer until the input ends."""
    from benchmarks.fuzz.kinds import KINDS

    resource.setrlimit(resource.RLIMIT_DATA, (_DATA_LIMIT, _DATA_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
    log = Path(home) / "printed.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    crashes = (Path(home) / "crash.log").open("w")
    faulthandler.enable(crashes, all_threads=False)
    # Who waits for an answer in vain asks with this signal where it is.
    faulthandler.register(signal.SIGUSR1, file=crashes, all_threads=False)
    worker = Worker(int(seed), Path(seeds), Path(home), log, Path(keep))
    for line in sys.stdin:
        name, number = line.split()
        report = worker.run(KINDS[name], int(number))
        answers.write(json.dumps(asdict(report)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
