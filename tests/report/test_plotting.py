"""Plots look the same wherever they are drawn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_DRAW = """
from quantkit.report.plotting import new_figure, style, to_svg
with style():
    figure, axes = new_figure(3.0)
    axes.plot([1, 2])
    print(to_svg(figure, "name", "description"))
"""


@pytest.mark.slow
def test_settings_of_the_working_folder_change_nothing(tmp_path: Path) -> None:
    def drawn() -> str:
        command = [sys.executable, "-c", _DRAW]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    first = drawn()
    # LaTeX would be a program to run.
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nlines.linewidth: 40\n")
    assert drawn() == first
