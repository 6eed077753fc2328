"""Commands in tests say no progress, however busy the machine is."""

from __future__ import annotations

import math

import pytest


@pytest.fixture(autouse=True)
def _no_progress(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.path.name != "test_progress.py":
        monkeypatch.setattr("quantkit.cli.progress._LINE_SECONDS", math.inf)
