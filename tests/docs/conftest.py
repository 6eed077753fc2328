"""What several tests of the documentation need."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.distributions import built


@pytest.fixture
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (found,) = built(tmp_path_factory).glob("*.whl")
    return found
