"""Opening models, and one clear line for those that do not open."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.errors import InputError, ModelError
from quantkit.runtime.session import create_session


def test_threads_and_provider(artifact: Path) -> None:
    session = create_session(artifact, threads=2)
    assert session.get_session_options().intra_op_num_threads == 2
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        create_session(tmp_path / "none.onnx")


def test_damaged_file_names_the_runtime(artifact: Path) -> None:
    artifact.write_bytes(artifact.read_bytes()[:60])
    with pytest.raises(ModelError, match="does not load in ONNX Runtime") as caught:
        create_session(artifact)
    assert "\n" not in str(caught.value)


def test_negative_threads(artifact: Path) -> None:
    with pytest.raises(InputError, match="threads must be 0"):
        create_session(artifact, threads=-1)
