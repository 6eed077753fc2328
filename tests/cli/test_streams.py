"""What is printed reaches any terminal, and JSON stays JSON."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from rich.console import Console
from rich.table import Table

from quantkit.cli.streams import accept_any_text, echo_json

TEXT = "Größe × 2 – “हिन्दी” \udcff"


Terminal = Callable[[str], io.BytesIO]
in_every_encoding = pytest.mark.parametrize(
    "encoding", ["ascii", "utf-8", "latin-1", "cp1252", "cp437", "shift_jis"]
)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard output that of a terminal; returns what arrives there.

    A test calls it itself: pytest puts its own output in place between fixtures and tests.
    """

    def begin(encoding: str) -> io.BytesIO:
        buffer = io.BytesIO()
        written = io.TextIOWrapper(buffer, encoding=encoding, errors="strict", write_through=True)
        monkeypatch.setattr(sys, "stdout", written)
        accept_any_text()
        return buffer

    return begin


@in_every_encoding
def test_no_text_fails(terminal: Terminal, encoding: str) -> None:
    arrived = terminal(encoding)
    print(TEXT)
    click.echo(TEXT)
    found = arrived.getvalue().decode(sys.stdout.encoding)
    assert found.splitlines()[0] == found.splitlines()[1]
    assert found.startswith("Gr")


@in_every_encoding
def test_no_table_fails(terminal: Terminal, encoding: str) -> None:
    arrived = terminal(encoding)
    table = Table(TEXT.rstrip("\udcff"))
    table.add_row("↓ −1 %")
    Console(file=sys.stdout, width=200).print(table)
    assert arrived.getvalue()


@in_every_encoding
def test_json_is_valid(terminal: Terminal, encoding: str) -> None:
    arrived = terminal(encoding)
    echo_json({"text": TEXT, "share": float("inf"), "rows": [float("nan"), 1.5]})
    echo_json([TEXT], indent=None)
    lines = arrived.getvalue().decode("utf-8").splitlines()
    assert json.loads(lines[-1]) == [TEXT]
    content = json.loads("\n".join(lines[:-1]))
    assert content == {"text": TEXT, "share": None, "rows": [None, 1.5]}


def test_signs_of_ours_become_others_that_look_like_them(terminal: Terminal) -> None:
    arrived = terminal("latin-1")
    print("a – b … “c” → é ✓")
    assert arrived.getvalue().decode("latin-1") == 'a - b ... "c" -> é \\u2713\n'


def test_streams_of_other_kinds_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", None)
    accept_any_text()


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_the_caller_closed(closed: str, tmp_path: Path) -> None:
    """What is written there must not arrive in the next file that is opened."""
    code = (
        "from quantkit.cli.streams import accept_any_text; accept_any_text()\n"
        "import sys; file = open('result', 'w'); assert file.fileno() > 2, file.fileno()\n"
        "print('text'); print('text', file=sys.stderr)\n"
        "file.write(str(sys.stdout.isatty() or sys.stderr.isatty()))\n"
    )
    (tmp_path / "run.py").write_text(code)
    command = f"{shlex.join([sys.executable, str(tmp_path / 'run.py')])} {closed}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "result").read_text() == "False"
