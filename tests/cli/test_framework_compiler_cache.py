"""PyTorch's compiler leaves nothing among the temporary files."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from quantkit.cli.framework.compiler_cache import own_compiler_cache

_SWITCH = "TORCHINDUCTOR_CACHE_DIR"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(_SWITCH, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_its_folder_goes_with_the_command(temporary: Path) -> None:
    with own_compiler_cache():
        folder = Path(os.environ[_SWITCH])
        assert folder.parent == temporary
        (folder / "kernel").write_text("x")
    assert list(temporary.iterdir()) == []
    assert _SWITCH not in os.environ


def test_a_folder_that_the_user_named_is_left_alone(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(_SWITCH, "/somewhere")
    with own_compiler_cache():
        assert os.environ[_SWITCH] == "/somewhere"
        assert list(temporary.iterdir()) == []
    assert os.environ[_SWITCH] == "/somewhere"


def test_a_command_needs_no_room_for_it(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "missing"))
    with own_compiler_cache():
        assert _SWITCH not in os.environ


@pytest.mark.slow
def test_nothing_is_left_once_the_compiler_was_imported(temporary: Path) -> None:
    pytest.importorskip("torch")
    (temporary / "tmp").mkdir()
    # `quantkit verify`, with another body.
    code = (
        "import sys, types, click\n"
        "from quantkit.cli import main\n"
        "from quantkit.cli.framework import Command\n"
        "@click.command(cls=Command)\n"
        "def body():\n"
        "    import torch._dynamo\n"
        "module = types.ModuleType('quantkit.cli.verify')\n"
        "module.command = body\n"
        "sys.modules[module.__name__] = module\n"
        "main(['verify'])\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(temporary / "tmp")},
        check=True,
    )
    assert list((temporary / "tmp").iterdir()) == []
