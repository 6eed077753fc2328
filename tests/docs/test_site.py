"""The documentation builds as a site, with no broken link, and asks no other host for anything."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.once import made_once

REPOSITORY = Path(__file__).resolve().parents[2]
SITE = REPOSITORY / "docs" / "_site"

pytest.importorskip("mkdocs", reason="the site is built with quantkit[docs]")


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"site_{name}", SITE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def build(folder: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_MKDOCS_2_WARNING": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    return made_once(tmp_path_factory, "site", build)


@pytest.mark.slow
def test_every_page_is_there_and_every_link_leads_somewhere(site: Path) -> None:
    pages = {path.relative_to(site).with_suffix(".md").as_posix() for path in site.rglob("*.html")}
    docs = REPOSITORY / "docs"
    written = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    assert written <= pages
    assert {"index.md", "results.md", "commands.md", "api.md", "changelog.md"} <= pages


@pytest.mark.slow
def test_pages_ask_no_other_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r'<(?:script|img|iframe)[^>]*src="?https?:', text), page
        assert not re.search(r'<link[^>]*(?:stylesheet|preconnect)[^>]*href="?https?:', text), page


@pytest.mark.slow
def test_commands_and_interface_are_made_from_the_code(site: Path) -> None:
    commands = (site / "commands.html").read_text(encoding="utf-8")
    assert "quantkit push FOLDER ADDRESS" in re.sub(r"<[^>]+>", "", commands)
    interface = (site / "api.html").read_text(encoding="utf-8")
    assert 'id="quantkit.api.ship.ship"' in interface
    assert "VerificationError" in interface
    # Roles and examples of Sphinx are none of Markdown's.
    assert ":func:" not in interface
    assert ":class:" not in interface


class TestReadable:
    @pytest.mark.parametrize(
        ("source", "link", "page"),
        [
            ("README.md", "[x](docs/gate.md)", "[x](gate.md)"),
            ("README.md", "![x](benchmarks/plots/a.svg)", "![x](plots/a.svg)"),
            ("docs/gate.md", "[x](../benchmarks/RESULTS.md#a-b)", "[x](results.md#a-b)"),
            ("docs/tutorials/a.md", "[x](../gate.md)", "[x](../gate.md)"),
            ("models/wav2letter-en/README.md", "[x](../../docs/gate.md)", "[x](../gate.md)"),
            ("docs/gate.md", "[`x`](../quantkit/errors.py)", "`x`"),
            ("docs/gate.md", "`a[0](b)` [x](#y)", "`a[0](b)` [x](#y)"),
            ("docs/gate.md", "[x](https://a.example/b.md)", "[x](https://a.example/b.md)"),
        ],
    )
    def test_links_follow_pages_and_leave_the_rest(self, source: str, link: str, page: str) -> None:
        assert module("hooks").readable(link, source) == page

    def test_lists_need_no_blank_line_and_two_spaces(self) -> None:
        spaced = module("hooks").spaced_lists
        assert spaced("text\n- a\n- b\n  more\n- c") == "text\n\n- a\n- b\n  more\n- c"
        assert spaced("- a\n  - b") == "- a\n    - b"

    def test_docstrings(self) -> None:
        readable = module("docstrings").readable
        assert readable("See :class:`~a.b.C`::\n") == "See `C`:\n"
        text = "Text.\n\n>>> f(1)  # doctest: +SKIP\n['x']\n\nMore."
        assert readable(text) == "Text.\n\n```pycon\n>>> f(1)\n['x']\n```\n\nMore."
