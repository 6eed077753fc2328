"""Modules of quantkit that run in a Python process of their own."""

from __future__ import annotations

import sys
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent

# Installed packages come first: the folder of quantkit itself is only for a checkout that is not
# installed, and may be any folder.
_START = """
import runpy, sys
module, home = sys.argv[1:3]
del sys.argv[1:3]
if home not in sys.path:
    sys.path.append(home)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs ``module`` with this interpreter.

    ``python -m`` would import from the working folder first, so that a ``numpy.py`` that lies there
    would run.
    """
    return [sys.executable, "-P", "-c", _START, module, str(_HOME), *arguments]
