"""The page of a bundle, opened in a browser as its users will: a file is chosen, a text appears."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from quantkit.bundles.browser import Browser, BrowserError
from quantkit.bundles.example_files import PAGE

#: Under this path the page looks for the files of ``onnxruntime-web``.
RUNTIME_PATH = "/web/ort/"
_TYPES = {".mjs": "text/javascript", ".wasm": "application/wasm"}


@dataclass(frozen=True)
class Shown:
    """What a page showed of a clip.

    Args:
        seconds: from the page's address to its text, without the start of the browser.
        peak_bytes: highest resident memory of the page's process; 0 where that is not known.
    """

    text: str
    seconds: float
    peak_bytes: int


def run_page(folder: Path, clip: Path, browser: str, package: Path) -> Shown:
    """Open the page of a bundle, choose a clip, and read the text.

    Args:
        folder: the bundle.
        browser: a Chromium.
        package: the folder of ``onnxruntime-web``.

    Raises:
        BrowserError: the page shows an error, or nothing in time.
    """
    with served(folder, package / "dist") as address, Browser(browser) as page:
        begin = time.perf_counter()
        page.open(f"{address}/{PAGE}")
        page.wait(f"{_STATUS}.startsWith('Ready') || {_BAD}")
        _raise_what_it_says(page)
        page.choose_file("#file", clip)
        page.wait(f"{_STATUS}.includes('s of audio in') || {_BAD}")
        _raise_what_it_says(page)
        seconds = time.perf_counter() - begin
        text = str(page.evaluate("document.getElementById('text').textContent"))
        return Shown(text, seconds, page.peak_bytes())


_STATUS = "document.getElementById('status').textContent"
_BAD = "document.getElementById('status').classList.contains('bad')"


def _raise_what_it_says(page: Browser) -> None:
    if page.evaluate(_BAD):
        raise BrowserError(" ".join(str(page.evaluate(_STATUS)).split()))


@contextmanager
def served(folder: Path, runtime: Path | None) -> Iterator[str]:
    """Address of a bundle's folder on this machine alone, while the block runs.

    ``runtime`` lies at :data:`RUNTIME_PATH`, although no file of it is in the bundle; None: nothing
    does.
    """
    handler = partial(_Files, directory=str(folder), runtime=runtime)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Files(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, runtime: Path | None, **kwargs: Any) -> None:
        self._runtime = runtime
        super().__init__(*args, **kwargs)

    def translate_path(self, path: str) -> str:
        name = path.split("?", 1)[0].removeprefix(RUNTIME_PATH)
        if self._runtime is not None and path.startswith(RUNTIME_PATH) and "/" not in name:
            return str(self._runtime / name)
        return super().translate_path(path)

    def guess_type(self, path: Any) -> str:
        # The system's table of types may lack these, and browsers run modules of this type only.
        return _TYPES.get(Path(path).suffix) or super().guess_type(path)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
