"""Worker processes: what crashes or hangs takes one of them along, and its case is known."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Empty, Queue

import psutil

from benchmarks.cells import ROOT
from benchmarks.fuzz.worker import SECONDS_LIMIT, Report, special_files
from quantkit.telemetry import switch_off_telemetry

#: A kind and a number.
Job = tuple[str, int]

# A process hangs when it has computed for longer than it may, or waited for as long without
# computing. Others may be using the machine, so the clock alone does not tell.
_LOOK_EVERY, _IDLE_LOOKS, _IDLE_SECONDS = 5.0, 12, 0.02


class _Process:
    """One worker process, and the thread that hears its answers."""

    def __init__(self, seed: int, seeds: Path, home: Path, keep: Path) -> None:
        self.home = home
        temporary = home / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {
            "TMPDIR": str(temporary),
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "MPLCONFIGDIR": str(home / "matplotlib"),
            "HF_HOME": str(home / "hub"),
            "HF_HUB_OFFLINE": "1",
            # PyTorch makes it in /tmp otherwise, whatever TMPDIR says.
            "TORCHINDUCTOR_CACHE_DIR": str(home / "inductor"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        switch_off_telemetry(environment)
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "benchmarks.fuzz.worker",
                str(seed),
                str(seeds),
                str(home),
                str(keep),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._answers: Queue[str] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def run(self, job: Job) -> Report:
        """The report on one case; a process that gave none is over."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{job[0]} {job[1]}\n")
        self._process.stdin.flush()
        line = self._answer()
        if line is None:
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(1)
            self.end()
            return Report(*job, "failed", f"hangs{self._last_place()}", SECONDS_LIMIT)
        if line:
            return Report(**json.loads(line))
        status = self._process.wait()
        return Report(*job, "failed", f"crashed with exit code {status}{self._last_place()}")

    def _answer(self) -> str | None:
        """What it says; empty when it is over, None when it hangs."""
        begin = last = self._seconds()
        idle = 0
        while True:
            try:
                return self._answers.get(timeout=_LOOK_EVERY)
            except Empty:
                now = self._seconds()
                idle = idle + 1 if now - last < _IDLE_SECONDS else 0
                if now - begin > 1.5 * SECONDS_LIMIT or idle >= _IDLE_LOOKS:
                    return None
                last = now

    def _seconds(self) -> float:
        """Of processor time, with that of the processes that it has started."""
        total = 0.0
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self._process.pid)
            for each in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += sum(each.cpu_times()[:2])
        return total

    @property
    def is_over(self) -> bool:
        """Whether another process is needed."""
        return self._process.poll() is not None

    def end(self) -> None:
        """Stop it and wait for its end."""
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _last_place(self) -> str:
        crash = self.home / "crash.log"
        text = crash.read_text(errors="replace") if crash.exists() else ""
        places = [line.strip() for line in text.splitlines() if line.strip().startswith("File")]
        return f": {' < '.join(places[:5])}" if places else ""


def run_jobs(
    jobs: Sequence[Job], seed: int, seeds: Path, home: Path, keep: Path, workers: int
) -> Iterator[Report]:
    """Reports on all jobs, as they come."""
    waiting: Queue[Job] = Queue()
    for job in jobs:
        waiting.put(job)
    reports: Queue[Report | None] = Queue()

    def work(number: int) -> None:
        process = None
        try:
            while True:
                job = waiting.get_nowait()
                if process is None or process.is_over:
                    process = _Process(seed, seeds, home / f"worker-{number}", keep)
                report = process.run(job)
                if process.is_over:
                    _keep_folder(process.home, job, keep)
                reports.put(report)
        except Empty:
            pass
        finally:
            if process is not None:
                process.end()
            reports.put(None)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(workers)]
    for thread in threads:
        thread.start()
    ended = 0
    while ended < workers:
        found = reports.get()
        if found is None:
            ended += 1
        else:
            yield found


def _keep_folder(home: Path, job: Job, keep: Path) -> None:
    folder = home / "cases" / f"{job[0]}-{job[1]}"
    if folder.is_dir():
        shutil.copytree(
            folder, keep / folder.name, symlinks=True, ignore=special_files, dirs_exist_ok=True
        )
        shutil.rmtree(folder, ignore_errors=True)
    for left in (home / "tmp").iterdir():
        shutil.rmtree(left, ignore_errors=True)
