"""What takes long to make is made once in a run, however many processes share the tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that ``make`` has filled, in this process or in another of the same run.

    Tests must not write into it: it is everybody's.

    Args:
        factory: pytest's fixture ``tmp_path_factory``.
        name: of the folder; whoever asks for the same name gets the same folder.
        make: fills the folder that it is given. Where it raises, the next who asks tries again.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Each worker has a folder of its own in that of the run.
        base = base.parent
    folder = base / "made once" / name
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_name(f"{name}.lock")):
        if not folder.exists():
            make(unfinished := factory.mktemp(name))
            unfinished.rename(folder)
    return folder
