"""A program that is run once: what it printed, how long it took, and its memory."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantkit.disk.temporary import TemporaryFolder

_TIMEOUT_S = 600
_POLL_S = 0.005
_MOST_PRINTED = 1_000_000


@dataclass(frozen=True)
class Finished:
    """How a program ended.

    Args:
        code: exit code; negative: the signal that killed it; None: it did not end in time.
        output: what it printed, at most a million bytes.
        errors: the same of its errors.
        seconds: from its start to its end.
        peak_bytes: its highest resident memory, to within the last 5 ms; 0 where the system does
            not tell (all but Linux).
    """

    code: int | None
    output: str
    errors: str
    seconds: float
    peak_bytes: int

    @property
    def reason(self) -> str:
        """Why it failed, in a line."""
        if self.code is None:
            return f"it did not end within {_TIMEOUT_S} s"
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        if self.code < 0:
            return f"it was killed by signal {-self.code}"
        return lines[-1][:500] if lines else f"exit code {self.code}"


def run_measured(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Finished:
    """Run ``command`` in ``folder``, ten minutes at most.

    Raises:
        OSError: it cannot be started.
    """
    with TemporaryFolder("run") as apart:
        output, errors = apart / "output", apart / "errors"
        begin = time.perf_counter()
        peak = 0
        with output.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                env=None if environment is None else dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
            try:
                code = process.poll()
                while code is None and time.perf_counter() - begin < _TIMEOUT_S:
                    peak = max(peak, peak_memory(process.pid))
                    time.sleep(_POLL_S)
                    code = process.poll()
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        seconds = time.perf_counter() - begin
        return Finished(code, _read(output), _read(errors), seconds, peak)


def peak_memory(process: int) -> int:
    """Highest resident memory of a process so far, in bytes; 0 where that is not known."""
    try:
        for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


def _read(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(_MOST_PRINTED).decode("utf-8", "replace")
