"""The action for GitHub: its steps, run here as a runner would as far as that needs no GitHub."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from tests.bundles.conftest import recogniser, tiny_info

yaml = pytest.importorskip("yaml", reason="actions are read with PyYAML")

REPOSITORY = Path(__file__).resolve().parents[2]
ACTION: dict[str, Any] = yaml.safe_load((REPOSITORY / "action.yml").read_text(encoding="utf-8"))
WORKFLOW: dict[str, Any] = yaml.safe_load(
    (REPOSITORY / "docs" / "_assets" / "gate-workflow.yml").read_text(encoding="utf-8")
)
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]


def filled(text: str, inputs: dict[str, str]) -> str:
    """Expressions of the action as a runner fills them in."""

    def value(match: re.Match[str]) -> str:
        for each in match[1].split("||"):
            name = each.strip()
            if name == "github.action_path":
                return str(REPOSITORY)
            if found := inputs[name.removeprefix("inputs.")]:
                return found
        return ""

    return re.sub(r"\$\{\{ *(.*?) *\}\}", value, text)


def run_steps(
    names: tuple[str, ...], given: dict[str, str], folder: Path, python: Path
) -> tuple[int, str]:
    """Exit code of the first step that fails, or 0; and all output."""
    inputs = {name: each.get("default", "") for name, each in ACTION["inputs"].items()} | given
    said = ""
    for step in STEPS:
        if step.get("name") not in names:
            continue
        variables = {key: filled(text, inputs) for key, text in step["env"].items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=folder,
            env={
                **os.environ,
                "PATH": f"{python.parent}:{os.environ['PATH']}",
                "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
                "PIP_NO_INDEX": "1",
                "PIP_NO_DEPS": "1",
                "PIP_NO_BUILD_ISOLATION": "0",
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        said += done.stdout + done.stderr
        if done.returncode:
            return done.returncode, said
    return 0, said


def test_the_example_workflow_gives_what_the_action_takes() -> None:
    (use,) = [step for step in WORKFLOW["jobs"]["gate"]["steps"] if "quantkit" in step["uses"]]
    required = {name for name, each in ACTION["inputs"].items() if each.get("required")}
    assert required <= set(use["with"]) <= set(ACTION["inputs"])


def test_no_text_of_an_input_is_part_of_a_script() -> None:
    scripts = [step["run"] for step in STEPS if "run" in step]
    assert len(scripts) == 3
    assert not any("${{" in script for script in scripts)
    assert all(step["shell"] == "bash" for step in STEPS if "run" in step)


def test_every_input_is_used_and_in_the_tutorial() -> None:
    text = (REPOSITORY / "action.yml").read_text(encoding="utf-8").partition("runs:")[2]
    page = (REPOSITORY / "docs" / "tutorials" / "ci-owner.md").read_text(encoding="utf-8")
    for name in ACTION["inputs"]:
        assert f"inputs.{name}" in text
        assert f"`{name}`" in page


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Four clips of the shipped corpus, in a folder with a space in its name."""
    source = REPOSITORY / "calibration_data"
    folder = tmp_path / "work" / "my corpus"
    (folder / "audio").mkdir(parents=True)
    header, *rows = (source / "manifest.tsv").read_text(encoding="utf-8").splitlines()
    rows = [row for row in rows if "\ttest\t" in row][:4]
    (folder / "manifest.tsv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    for row in rows:
        name = row.split("\t")[0]
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


@pytest.mark.slow
def test_the_shell_steps_measure_compare_and_fail(corpus: Path) -> None:
    from quantkit.graph.artifact import save_model

    work = corpus.parent
    save_model(recogniser(tiny_info()), work / "a.onnx")
    save_model(recogniser(tiny_info()), work / "b.onnx")
    given = {
        "models": "a.onnx b.onnx",
        "data": "my corpus",
        "limit": "4",
        "bench-options": "--threads 1 --batch-sizes 1 --sweep 0",
    }
    python = work / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    measured = ("Measure", "Compare")
    status, said = run_steps(measured, given, work, python)
    assert status == 2, said
    assert "baseline.json" in said
    accepted = [str(python), "-P", "-m", "quantkit", "gate", "quantkit-report/bench.json"]
    subprocess.run([*accepted, "--baseline", "baseline.json", "--update"], cwd=work, check=True)
    status, said = run_steps(("Compare",), given, work, python)
    assert status == 0, said
    assert "b" in (work / "summary.md").read_text(encoding="utf-8")
    assert (work / "quantkit-report" / "gate.xml").is_file()

    baseline = json.loads((work / "baseline.json").read_text(encoding="utf-8"))
    for model in (
        baseline["models"].values()
        if isinstance(baseline["models"], dict)
        else (baseline["models"])
    ):
        model["size_bytes"] //= 2
    (work / "baseline.json").write_text(json.dumps(baseline), encoding="utf-8")
    status, said = run_steps(("Compare",), given, work, python)
    assert status == 1, said


@pytest.mark.slow
def test_the_install_step_in_a_fresh_environment(tmp_path: Path, wheel: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    status, said = run_steps(("Install quantkit",), {"package": str(wheel)}, tmp_path, python)
    assert status == 0, said
    listed = subprocess.run(
        [python, "-m", "pip", "list"], capture_output=True, text=True, check=True
    ).stdout
    assert "quantkit" in listed
