"""Every command that a tutorial shows, run one after the other as its reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub_server import TOKEN, serving

REPOSITORY = Path(__file__).resolve().parents[2]
TUTORIALS = REPOSITORY / "docs" / "tutorials"
# The edge engineer gets what the speech engineer has made.
ORDER = ("speech-engineer", "edge-engineer", "ci-owner", "fleet-operator")

_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_SHOWN = re.compile(r"<!-- from (?P<path>[\w./-]+) -->\n```yaml\n(?P<text>.*?)```", re.DOTALL)


def test_no_tutorial_is_left_out() -> None:
    assert {path.stem for path in TUTORIALS.glob("*.md")} == set(ORDER)


def test_what_a_tutorial_shows_of_a_file_is_what_is_in_it() -> None:
    shown = [
        match
        for path in TUTORIALS.glob("*.md")
        for match in _SHOWN.finditer(path.read_text(encoding="utf-8"))
    ]
    assert shown
    for match in shown:
        assert (REPOSITORY / match["path"]).read_text(encoding="utf-8") == match["text"]


@pytest.mark.slow
def test_the_commands_of_all_tutorials(tmp_path: Path) -> None:
    for name in ("models", "calibration_data"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    programs = tmp_path / "bin"
    programs.mkdir()
    # A link to a Python in a virtual environment would leave that.
    for name, module in (("quantkit", " -m quantkit"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{module} "$@"\n')
        (programs / name).chmod(0o755)
    with serving() as hub:
        environment = {
            **os.environ,
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "QUANTKIT_CACHE": str(tmp_path / "cache"),
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
        }
        for tutorial in ORDER:
            text = (TUTORIALS / f"{tutorial}.md").read_text(encoding="utf-8")
            for commands in _BLOCK.findall(text):
                done = subprocess.run(
                    ["bash", "-e", "-c", commands],
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, f"{tutorial}: {commands}\n{done.stdout}{done.stderr}"
    for made in (
        "user.html",
        "why.html",
        "report/index.html",
        "gate.md",
        "gate.xml",
        "fleet/fleet.html",
    ):
        assert (tmp_path / made).stat().st_size > 0
    assert (tmp_path / "user.onnx").stat().st_size <= 2_000_000
    assert (tmp_path / "received" / "model.onnx").is_file()
    assert len([*(tmp_path / "fleet" / "artifacts").glob("*/*.onnx")]) == 3
