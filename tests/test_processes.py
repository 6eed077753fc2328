"""No file of the working folder is run, in none of our processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quantkit.benchmarking.memory import measure_footprint
from quantkit.bundles import ship
from quantkit.processes import python_command
from tests.api.small import write_model

# Modules that ours import, and that nobody would import before them.
NAMES = ("numpy", "onnxruntime", "psutil", "argparse", "statistics", "json", "click", "wave")


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with modules that leave a file when they are imported."""
    folder = tmp_path / "trap"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'sprung')!r}, 'w')")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
def test_a_process_imports_nothing_from_the_working_folder(trap: Path, tmp_path: Path) -> None:
    assert measure_footprint(write_model(tmp_path), length=100).weight_bytes > 0
    assert not (trap / "sprung").exists()


def test_a_model_is_tried_without_importing_from_the_working_folder(
    trap: Path, tmp_path: Path
) -> None:
    ship(write_model(tmp_path), tmp_path / "bundle", licence=_licence(tmp_path))
    assert not (trap / "sprung").exists()


@pytest.mark.slow
def test_the_module_imports_nothing_from_the_working_folder(trap: Path, tmp_path: Path) -> None:
    # What Python itself imports before any of ours cannot be helped.
    for name in ("argparse", "json", "statistics"):
        (trap / f"{name}.py").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "quantkit", "inspect", str(write_model(tmp_path))],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (trap / "sprung").exists()


def test_arguments_reach_the_module_as_they_are(tmp_path: Path) -> None:
    command = python_command("json.tool", "--help")
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "usage:" in done.stdout


def _licence(folder: Path) -> Path:
    path = folder / "LICENCE"
    path.write_text("free")
    return path
