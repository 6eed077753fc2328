"""The vocabulary of a checkpoint without one is looked for on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers")

from quantkit.errors import CheckpointError
from quantkit.models.whisper import vocabulary_places
from quantkit.models.whisper.vocabulary_places import vocabulary_folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with the tokenizer of whisper-base."""
    tokenizer = tmp_path / "cache" / "tokenizer.json"
    tokenizer.parent.mkdir()
    tokenizer.touch()

    def cached(name: str, file: str) -> str | None:
        return str(tokenizer) if name == "openai/whisper-base" else None

    monkeypatch.setattr(vocabulary_places, "try_to_load_from_cache", cached)
    monkeypatch.setattr(vocabulary_places, "find_spec", lambda name: None)
    return tokenizer.parent


def test_its_own_comes_first_then_that_of_the_folder_around(tmp_path: Path, cache: Path) -> None:
    checkpoint = tmp_path / "run" / "checkpoint-4000"
    checkpoint.mkdir(parents=True)
    assert vocabulary_folder(checkpoint, 51_865) == cache
    (checkpoint.parent / "tokenizer.json").touch()
    assert vocabulary_folder(checkpoint, 51_865) == checkpoint.parent
    (checkpoint / "vocab.json").touch()
    assert vocabulary_folder(checkpoint, 51_865) == checkpoint


@pytest.mark.parametrize("outputs", [51_864, 51_904, "many"])
def test_that_of_a_model_of_another_size_does_not_count(
    tmp_path: Path, cache: Path, outputs: object
) -> None:
    with pytest.raises(CheckpointError, match=r"has no vocabulary: put tokenizer\.json of .* into"):
        vocabulary_folder(tmp_path, outputs)
