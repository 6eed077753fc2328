"""The image is built from what its file copies, and runs without rights."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.distributions import REPOSITORY, SOURCES, copied

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """Name and arguments of each instruction, without comments and continued lines."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    found = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in found]


def copied_sources() -> tuple[str, ...]:
    """What is copied from the repository."""
    rows = [rest.split() for name, rest in instructions() if name == "COPY"]
    return tuple(word for row in rows if not row[0].startswith("--from") for word in row[:-1])


def test_it_ends_as_a_user_without_rights_in_a_slim_image() -> None:
    last = max(i for i, (name, _) in enumerate(instructions()) if name == "FROM")
    stage = dict(instructions()[last:])
    assert re.fullmatch(r"python:3\.1[123]-slim", stage["FROM"])
    assert stage["USER"] not in ("root", "0")
    assert stage["ENTRYPOINT"] == '["quantkit"]'
    users = [i for i, (name, _) in enumerate(instructions()) if name == "USER"]
    assert all(name != "RUN" for name, _ in instructions()[users[-1] :])


def test_all_that_is_copied_passes_the_ignore_file() -> None:
    allowed = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in allowed
    assert set(copied_sources()) == set(SOURCES)
    assert {f"!{name}" for name in copied_sources()} <= set(allowed)


@pytest.mark.slow
def test_what_is_copied_is_enough_to_build_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", "77", reason="wheels are built with setuptools 77 or later")
    source = copied(tmp_path / "source", copied_sources())
    (build,) = [rest for name, rest in instructions() if name == "RUN" and "pip wheel" in rest]
    command = build.replace("/wheels", str(tmp_path / "wheels")).replace("/source", str(source))
    words = command.replace("pip wheel", "wheel --no-build-isolation --no-index").split()
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "wheels").glob("quantkit-*.whl")
    assert "quantkit/py.typed" in zipfile.ZipFile(wheel).namelist()


@pytest.mark.slow
def test_the_image_is_built_and_runs(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True).returncode:
        pytest.skip("no Docker daemon answers here")
    name = "quantkit-of-the-tests"
    build = subprocess.run(
        [docker, "build", "--tag", name, "."], cwd=REPOSITORY, capture_output=True, check=False
    )
    assert build.returncode == 0, build.stderr
    run = [docker, "run", "--rm", "--network", "none", name]
    done = subprocess.run([*run, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Commands" in done.stdout
