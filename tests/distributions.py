"""The wheel and the sdist, built once from what git tracks, without a network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.once import made_once

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "quantkit")


def copied(folder: Path, names: tuple[str, ...] = ()) -> Path:
    """What git tracks of the repository, or these parts of it, in ``folder``."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *names]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("what belongs to the repository is asked of git")
    for name in done.stdout.decode().split("\0"):
        source, target = REPOSITORY / name, folder / name
        if name and source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return folder


def built(factory: pytest.TempPathFactory) -> Path:
    """A folder with both."""
    pytest.importorskip("build", reason="wheels are built with the package build")
    pytest.importorskip("setuptools", "77", reason="wheels are built with setuptools 77 or later")

    def make(folder: Path) -> None:
        source = copied(folder / "source")
        done = subprocess.run(
            [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        shutil.rmtree(source)

    return made_once(factory, "distributions", make)
