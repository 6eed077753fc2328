"""An artifact says what it was made from, in a number of bytes that can be foretold."""

from __future__ import annotations

import json

import onnxruntime
import pytest

from quantkit.errors import ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.provenance import PROVENANCE, Provenance, provenance_now, provenance_of


def read(text: str) -> Provenance | None:
    return provenance_of(ArtifactInfo(extra={PROVENANCE: text}), "x.onnx")


def test_what_is_written_is_read() -> None:
    made = provenance_now("ab" * 32, 80, 241.53)
    found = read(made.to_json())
    assert found is not None
    assert found.versions["onnxruntime"] == onnxruntime.__version__
    assert (found.audio_sha256, found.clips, found.seconds) == ("ab" * 32, 80, 241.5)
    assert found.audio_in_words == f"80 clips of audio, 242 s, SHA-256 {'ab' * 32}"


def test_a_file_without_any() -> None:
    assert provenance_of(ArtifactInfo()) is None


def test_its_length_is_the_same_with_and_without_audio() -> None:
    lengths = {
        len(provenance_now(*audio).to_json())
        for audio in (("", 0, 0.0), ("ab" * 32, 1, 0.1), ("ab" * 32, 999_999_999, 999_999_999.5))
    }
    assert len(lengths) == 1


def test_it_names_nothing_that_differs_between_two_runs() -> None:
    assert json.loads(provenance_now("ab" * 32, 8, 1.0).to_json()).keys() == {
        "audio_sha256", "clips", "seconds", "versions",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"audio_sha256": "", "clips": -1, "seconds": 0, "versions": {}}']
)
def test_a_damaged_entry_is_named(text: str) -> None:
    with pytest.raises(ModelError, match=r"x\.onnx: its quantkit metadata is damaged"):
        read(text)
