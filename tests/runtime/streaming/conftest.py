from __future__ import annotations

from pathlib import Path

import pytest

from tests.once import made_once


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``whole.onnx`` and ``stream.onnx``, one model."""
    from tests.streaming_model import write_both

    return made_once(tmp_path_factory, "streaming", write_both)
