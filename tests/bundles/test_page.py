"""The page of a bundle, in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quantkit.bundles import ship
from quantkit.bundles.browser import Browser, BrowserError, find_browser
from quantkit.bundles.page_run import run_page, served
from tests.bundles.test_bundle import run_example
from tests.clients.installed import MODULES, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]

RUNTIME = MODULES / "onnxruntime-web"
STATUS = "document.getElementById('status').textContent"
READY = f"{STATUS}.startsWith('Ready')"


@pytest.fixture
def browser(clip: Path) -> Iterator[Browser]:
    """Whose microphone hears the clip."""
    program = find_browser()
    assert program is not None
    media = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with Browser(program, [*media, f"--use-file-for-fake-audio-capture={clip}"]) as page:
        yield page


def test_it_shows_what_python_writes(bundle: Path, clip: Path) -> None:
    program = find_browser()
    assert program is not None
    before = sorted(bundle.rglob("*"))
    shown = run_page(bundle, clip, program, RUNTIME)
    assert shown.text == run_example(bundle, clip).stdout.strip() != ""
    assert shown.seconds > 0
    assert shown.peak_bytes > 0
    assert sorted(bundle.rglob("*")) == before


def test_the_bundle_says_that_it_was_opened(artifact: Path, tmp_path: Path, clip: Path) -> None:
    manifest = ship(artifact, tmp_path / "bundle", clip=clip, node_modules=MODULES)
    (said,) = [run for run in manifest.examples if run["file"] == "web/index.html"]
    assert (said["run"], said["same_text"]) == (True, True)
    assert said["runtime"].keys() == {"onnxruntime-web", "chromium"}


def test_it_hears_the_microphone(bundle: Path, browser: Browser) -> None:
    with served(bundle, RUNTIME / "dist") as address:
        browser.open(f"{address}/web/index.html")
        browser.wait(READY)
        browser.evaluate("document.getElementById('record').click()")
        browser.wait(f"{STATUS}.startsWith('Recording')")
        browser.evaluate("new Promise(done => setTimeout(done, 1500))")
        browser.evaluate("document.getElementById('record').click()")
        said = browser.wait(f"{STATUS}.includes('s of audio in') && {STATUS}")
        assert float(str(said).rsplit("said. ", 1)[-1].split()[0]) > 0.5
        assert browser.evaluate("document.getElementById('record').textContent") == "Record"


def test_other_rates_and_what_is_no_audio(bundle: Path, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("no audio")
    with served(bundle, RUNTIME / "dist") as address:
        browser.open(f"{address}/web/index.html")
        browser.wait(READY)
        browser.choose_file("#file", tmp_path / "notes.wav")
        said = browser.wait(f"{STATUS}.startsWith('notes') && {STATUS}")
        assert said == "notes.wav: not audio that this browser can read"
        assert browser.evaluate("document.getElementById('file').disabled") is False


def test_a_missing_runtime_is_named(bundle: Path, browser: Browser) -> None:
    with served(bundle, None) as address:
        browser.open(f"{address}/web/index.html")
        said = browser.wait(f"{STATUS}.includes('missing') && {STATUS}")
        assert "ort.wasm.min.mjs" in str(said)
        assert "web/ort/" in str(said)


def test_a_page_that_fails_is_an_error_here(bundle: Path, clip: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"no model")
    program = find_browser()
    assert program is not None
    with pytest.raises(BrowserError, match=r"\w"):
        run_page(bundle, clip, program, RUNTIME)


@pytest.mark.parametrize("width", [1100, 400])
def test_nothing_sticks_out(bundle: Path, browser: Browser, width: int) -> None:
    metrics = {"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", metrics)
    with served(bundle, RUNTIME / "dist") as address:
        browser.open(f"{address}/web/index.html")
        browser.wait(READY)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_it_asks_nobody_else(bundle: Path, browser: Browser) -> None:
    """The page's policy refuses what does not come from its own server."""
    with served(bundle, RUNTIME / "dist") as address, served(bundle, None) as other:
        browser.open(f"{address}/web/index.html")
        browser.wait(READY)
        ask = "fetch({!r}).then(() => 'heard', () => 'refused')"
        assert browser.evaluate(ask.format(f"{address}/labels.json")) == "heard"
        assert browser.evaluate(ask.format(f"{other}/labels.json")) == "refused"
