"""A headless Chromium, driven by the DevTools protocol over two pipes.

Neither a port nor a driver is needed: messages are JSON, and each ends with a zero byte.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from quantkit.bundles.measured_process import peak_memory
from quantkit.disk.temporary import TemporaryFolder

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_TIMEOUT_S = 300.0
# Numbers of the two pipes in the browser's process.
_READS, _WRITES = 3, 4


class BrowserError(Exception):
    """The browser ended, or did not answer in time."""


def find_browser() -> str | None:
    """A Chromium on the path; none on Windows, which has no such pipes."""
    if os.name == "nt":
        return None
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def browser_version(program: str) -> str:
    """Such as ``156.0.8078.114``; ``unknown`` where it does not say."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return next((part for part in done.stdout.split() if part[0].isdigit()), "unknown")


def _high_pipe() -> tuple[int, int]:
    """A pipe whose numbers are not those that the browser's own get."""
    import fcntl

    low = os.pipe()
    high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10) for number in low]
    for number in low:
        os.close(number)
    return high[0], high[1]


class Browser:
    """One page of a headless Chromium; a context manager.

    >>> with Browser("chromium") as browser:  # doctest: +SKIP
    ...     browser.open("http://127.0.0.1:8000/")
    ...     browser.evaluate("document.title")

    Args:
        program: the browser.
        arguments: further ones.

    Raises:
        BrowserError: it does not start.
    """

    def __init__(self, program: str, arguments: Sequence[str] = ()) -> None:
        self._profile = TemporaryFolder("browser")
        to_browser, self._out = _high_pipe()
        self._in, from_browser = _high_pipe()
        self._left, self._count, self._session = b"", 0, ""
        # Root, as in containers, has no sandbox; only the bundle's own page is opened.
        unboxed = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
        command = [
            program,
            "--headless=new",
            "--remote-debugging-pipe",
            f"--user-data-dir={self._profile.path}",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            *unboxed,
            *arguments,
            "about:blank",
        ]
        # The shell puts the pipes where the browser looks for them, whatever numbers they have.
        script = f'exec "$@" {_READS}<&{to_browser} {_WRITES}>&{from_browser}'
        try:
            self._process = subprocess.Popen(
                ["bash", "-c", script, "browser", *command],
                pass_fds=(to_browser, from_browser),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise BrowserError(f"it cannot be started: {error.strerror}") from error
        finally:
            os.close(to_browser)
            os.close(from_browser)
        try:
            targets = self.call("Target.getTargets")["targetInfos"]
            page = next(target for target in targets if target["type"] == "page")
            attach = {"targetId": page["targetId"], "flatten": True}
            self._session = self.call("Target.attachToTarget", attach)["sessionId"]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, and remove its profile."""
        for pipe in (self._out, self._in):
            os.close(pipe)
        try:
            self._process.wait(10)  # it ends with its pipes
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._profile.cleanup()

    def call(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer to a command of the protocol.

        Raises:
            BrowserError: it ended, did not answer in time, or answered with an error.
        """
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method}
        message["params"] = parameters or {}
        if self._session:
            message["sessionId"] = self._session
        try:
            os.write(self._out, json.dumps(message).encode() + b"\0")
        except OSError as error:
            raise BrowserError("it ended") from error
        ends = time.monotonic() + _TIMEOUT_S
        while True:
            answer = self._next(ends)
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise BrowserError(str(answer["error"].get("message")))
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, address: str) -> None:
        """Go to a page; whether it is loaded, :meth:`wait` finds out."""
        self.call("Page.navigate", {"url": address})

    def evaluate(self, script: str) -> Any:
        """The value of an expression, which may be a promise."""
        given = {"expression": script, "returnByValue": True, "awaitPromise": True}
        found = self.call("Runtime.evaluate", given | {"userGesture": True})
        if "exceptionDetails" in found:
            raise BrowserError(str(found["exceptionDetails"].get("text")))
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = _TIMEOUT_S) -> Any:
        """The first value of an expression that is true; one that throws is not, yet.

        Raises:
            BrowserError: there is none in time.
        """
        tried = f"(() => {{ try {{ return ({script}) }} catch {{ return false }} }})()"
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if value := self.evaluate(tried):
                return value
            time.sleep(0.02)
        raise BrowserError(f"nothing came within {seconds:.0f} s")

    def choose_file(self, selector: str, file: Path) -> None:
        """Choose a file in the ``input`` that a CSS selector names."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        found = self.call("DOM.querySelector", {"nodeId": root, "selector": selector})
        self.call("DOM.setFileInputFiles", {"nodeId": found["nodeId"], "files": [str(file)]})

    def peak_bytes(self) -> int:
        """Highest resident memory of the processes that show pages, the largest of them."""
        kept, self._session = self._session, ""
        try:
            processes = self.call("SystemInfo.getProcessInfo")["processInfo"]
        finally:
            self._session = kept
        return max((peak_memory(p["id"]) for p in processes if p["type"] == "renderer"), default=0)

    def _next(self, ends: float) -> dict[str, Any]:
        while b"\0" not in self._left:
            ready = select.select([self._in], [], [], max(0.0, ends - time.monotonic()))[0]
            if not ready:
                raise BrowserError(f"it did not answer within {_TIMEOUT_S:.0f} s")
            part = os.read(self._in, 1 << 16)
            if not part:
                raise BrowserError("it ended")
            self._left += part
        message, _, self._left = self._left.partition(b"\0")
        parsed: dict[str, Any] = json.loads(message)
        return parsed
