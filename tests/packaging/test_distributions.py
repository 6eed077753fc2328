"""Wheel and sdist hold the package and nothing else, and run in an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from quantkit.graph.artifact import save_model
from tests.bundles.conftest import recogniser, tiny_info
from tests.distributions import REPOSITORY, built, copied

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory)


def one(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def package_files() -> set[str]:
    """Everything below ``quantkit`` that git tracks."""
    listed = subprocess.run(
        ["git", "ls-files", "quantkit"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    return {name for name in listed if (REPOSITORY / name).is_file()}


def test_the_wheel_holds_all_of_the_package_and_nothing_else(folder: Path) -> None:
    names = set(zipfile.ZipFile(one(folder, "*.whl")).namelist())
    assert "quantkit/py.typed" in names
    assert package_files() <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"quantkit"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_sdist_holds_what_building_takes_and_no_tests(folder: Path) -> None:
    with tarfile.open(one(folder, "*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert package_files() <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO"} <= names
    tops = {name.split("/")[0] for name in names if name}
    assert not tops & {"tests", "benchmarks", "docs", "models", "calibration_data"}


def test_the_same_sources_give_the_same_wheel(folder: Path, tmp_path: Path) -> None:
    source = copied(tmp_path / "elsewhere")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", out, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one_wheel, other = one(folder, "*.whl"), one(out, "*.whl")
    contents = [
        {entry.filename: archive.read(entry) for entry in archive.infolist()}
        for archive in map(zipfile.ZipFile, (one_wheel, other))
    ]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("pattern", ["*.whl", "*.tar.gz"])
def test_it_installs_and_runs_in_a_new_environment(
    folder: Path, tmp_path: Path, pattern: str
) -> None:
    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    # Dependencies are those of this environment: nothing is fetched. quantkit itself is not there.
    site = environment / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (site / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    # Old Pythons put a setuptools into it that is too old to build with.
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    pip = [python, "-m", "pip"]
    subprocess.run([*pip, "uninstall", "-y", "setuptools"], capture_output=True, check=True)
    command = [*pip, "install", "--no-index", "--no-build-isolation"]
    # An editable install of the borrowed environment must not count as installed.
    install = [*command, "--no-deps", "--ignore-installed", one(folder, pattern)]
    done = subprocess.run(install, capture_output=True, text=True, env=clean, check=False)
    assert done.returncode == 0, done.stderr

    save_model(recogniser(tiny_info()), tmp_path / "int8.onnx")
    program = environment / "bin" / "quantkit"
    for arguments in (("--help",), ("inspect", "int8.onnx", "--json"), ("verify", "int8.onnx")):
        done = subprocess.run(
            [program, *arguments],
            cwd=tmp_path,
            env=clean,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if "--json" in arguments:
            assert json.loads(done.stdout)["layers"][0]["name"] == "layer1.matmul"
    where = "import quantkit; print(quantkit.__file__)"
    found = subprocess.run(
        [python, "-P", "-c", where], cwd=tmp_path, env=clean, capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip
    assert Path(found.strip()).is_relative_to(site)
