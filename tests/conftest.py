"""Fixtures that more than one part of the tests uses."""

from __future__ import annotations

import os
from pathlib import Path

# Processes that share the tests would take each other's cores: of the models of tests, several
# threads compute no faster. It is read when NumPy and PyTorch are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Some tests import ONNX Runtime before quantkit, which would set it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Processes of pytest-xdist name a width; without one, tables are as wide as they need to be.
os.environ.pop("COLUMNS", None)

import pytest
from hypothesis import settings

# The same examples in every run: a change is to blame for a failure, never the draw.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real speech: ``QUANTKIT_DATA``, or ``shared/data`` beside the repository."""
    named = os.environ.get("QUANTKIT_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real speech at {folder}; set QUANTKIT_DATA to its folder")
    return folder
