"""Worker processes on this machine, replaced when they die."""

from __future__ import annotations

import pickle
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Literal

import psutil

from quantkit.errors import OutputError
from quantkit.fleets.attempts import Attempts
from quantkit.fleets.engine import FleetLimits, Notify
from quantkit.fleets.jobs import JobOutcome
from quantkit.fleets.users import FleetUser
from quantkit.fleets.work import FleetSetup
from quantkit.fleets.worker import OUT_OF_MEMORY
from quantkit.processes import python_command
from quantkit.report.formatting import duration, megabytes
from quantkit.runtime.parallel import cores

# How often is looked at the memory of workers, and at the clock.
_LOOK_SECONDS = 0.1
# Workers that die one after the other before they have begun anything.
_STARTS = 3
_TAIL_BYTES = 2_000

Kind = Literal["ready", "refused", "outcome", "done", "ended"]


class LocalEngine:
    """As many processes as ``limits`` says, each with one user at a time.

    A worker opens the model once, for all users that it gets. Memory is what a process holds alone:
    pages of the model's file, which all share and the system can take back, do not count. It is
    looked at ten times a second, so a worker can be above its limit for that long.
    """

    name = "local"

    def __init__(self, limits: FleetLimits) -> None:
        self.limits = limits

    def run(
        self, setup: FleetSetup, users: Sequence[FleetUser], notify: Notify
    ) -> Iterator[JobOutcome]:
        """See :class:`~quantkit.fleets.engine.Engine`."""
        attempts = Attempts(users, setup.budgets, self.limits.retries)
        said: queue.SimpleQueue[tuple[_Worker, Kind, Any]] = queue.SimpleQueue()
        workers: list[_Worker] = []
        failed_starts, most = 0, self.limits.workers or cores()
        try:
            while attempts.waiting or any(worker.user for worker in workers):
                wanted = min(most, self._open(attempts, workers, len(users)))
                workers += [_Worker(setup, said) for _ in range(wanted - len(workers))]
                try:
                    worker, kind, content = said.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    self._enforce(workers)
                    continue
                if kind == "refused":
                    raise content
                if kind == "outcome":
                    yield from attempts.answer(content)
                elif kind == "ended":
                    workers.remove(worker)
                    reason, user = worker.reason(), worker.user
                    if not worker.ready:
                        failed_starts += 1
                        if failed_starts >= _STARTS:
                            raise OutputError(f"workers cannot begin: {reason}")
                    elif user is not None:
                        if again := attempts.died(user, reason):
                            notify(again)
                        else:
                            yield from attempts.give_up(user, reason)
                else:
                    failed_starts = 0
                    if worker.user is not None:
                        yield from attempts.close(worker.user)
                    worker.begin(attempts.next() if attempts.waiting else None)
        finally:
            for worker in workers:
                worker.end()

    @staticmethod
    def _open(attempts: Attempts, workers: Sequence[_Worker], users: int) -> int:
        """How many workers there is work for; idle ones are woken up."""
        for worker in workers:
            if worker.ready and worker.user is None and attempts.waiting:
                worker.begin(attempts.next())
        return users if attempts.waiting else len(workers)

    def _enforce(self, workers: Sequence[_Worker]) -> None:
        limits = self.limits
        for worker in workers:
            if limits.memory_bytes is not None and worker.memory() > limits.memory_bytes:
                worker.kill(
                    f"its worker needed more than {megabytes(limits.memory_bytes)} MB of memory"
                )
            elif limits.seconds is not None and worker.busy_seconds > limits.seconds:
                worker.kill(f"its worker needed more than {duration(limits.seconds)}")


class _Worker:
    """One process, and a thread that hears what it says."""

    def __init__(
        self, setup: FleetSetup, said: queue.SimpleQueue[tuple[_Worker, Kind, Any]]
    ) -> None:
        self.user: FleetUser | None = None
        self.ready = False
        self._began = 0.0
        self._killed_for = ""
        # Open as long as the process lives.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                python_command("quantkit.fleets.worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
        except OSError as error:
            raise OutputError(f"cannot start a worker: {error.strerror or error}") from error
        self._watched = psutil.Process(self._process.pid)
        self._tell(setup)
        threading.Thread(target=self._hear, args=(said,), daemon=True).start()

    def begin(self, user: FleetUser | None) -> None:
        """Send the next user; None: there is none for now."""
        self.ready, self.user, self._began = True, user, time.monotonic()
        if user is not None:
            self._tell(user)

    @property
    def busy_seconds(self) -> float:
        """Since its user was begun."""
        return 0.0 if self.user is None else time.monotonic() - self._began

    def memory(self) -> int:
        """Bytes that no other process has."""
        try:
            found = self._watched.memory_info()
        except psutil.Error:
            return 0
        return int(found.rss - getattr(found, "shared", 0))

    def kill(self, reason: str) -> None:
        """End it, and remember why."""
        self._killed_for = self._killed_for or reason
        self._process.kill()

    def end(self) -> None:
        """End it without a reason, and wait until it has."""
        # It ends by itself when its input does, and takes its temporary files along.
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def reason(self) -> str:
        """Why it has ended."""
        code = self._process.wait()
        if self._killed_for:
            return self._killed_for
        if code == OUT_OF_MEMORY:
            return "its worker ran out of memory"
        if code < 0:
            named = signal.Signals(-code).name
            hint = ", as the system does when memory is short" if -code == signal.SIGKILL else ""
            return f"its worker was ended by {named}{hint}"
        return f"its worker ended with code {code}{self._last_words()}"

    def _last_words(self) -> str:
        size = self._errors.seek(0, 2)
        self._errors.seek(max(0, size - _TAIL_BYTES))
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f": {said[-1]}" if said else ""

    def _tell(self, message: object) -> None:
        assert self._process.stdin is not None
        # One that has died is noticed where its answers end.
        with suppress(OSError):
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def _hear(self, said: queue.SimpleQueue[tuple[_Worker, Kind, Any]]) -> None:
        assert self._process.stdout is not None
        try:
            while True:
                kind, content = pickle.load(self._process.stdout)
                said.put((self, kind, content))
        # An answer that was cut off, or anything else that is none.
        except Exception:
            said.put((self, "ended", None))
