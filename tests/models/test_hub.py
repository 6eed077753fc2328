"""Names on the hub, and what keeps them from being fetched."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("huggingface_hub")

from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from quantkit.errors import InputError
from quantkit.models import hub
from quantkit.models.hub_names import is_hub_name


@pytest.mark.parametrize("name", ["facebook/wav2vec2-base-960h", "a/b.c"])
def test_owner_and_name_make_a_hub_name(name: str) -> None:
    assert is_hub_name(name)


@pytest.mark.parametrize(
    "path", ["model", "./a/b", "/a/b", "a/b/c", "../b", "a/", "models/x", "a/b.pt"]
)
def test_paths_are_no_hub_names(path: str) -> None:
    assert not is_hub_name(path)


def test_what_is_here_is_no_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_hub_name("a/b")


def test_a_slip_beside_a_folder_is_no_hub_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "speech").mkdir()
    monkeypatch.chdir(tmp_path)
    assert not is_hub_name("speech/wav2leter")


def test_safetensors_are_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(name: str, allow_patterns: list[str], **_: Any) -> str:
        asked.append(allow_patterns[-1])
        if asked[-1] == "*.safetensors" and "safe" in name:
            (tmp_path / "model.safetensors").touch()
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    assert hub.downloaded("a/old") == tmp_path
    assert asked == ["*.safetensors", "model.bin"]
    asked.clear()
    assert hub.downloaded("a/safe") == tmp_path
    assert asked == ["*.safetensors"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LocalEntryNotFoundError("no"), "the hub cannot be reached"),
        (ConnectionError("no"), "the hub cannot be reached"),
        (HFValidationError("no"), "neither a folder here nor a model on the hub"),
    ],
)
def test_why_it_was_not_fetched_is_said(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(InputError, match=message):
        hub.downloaded("a/b")


class TestAdapters:
    """Of the languages of an MMS only one is fetched."""

    @pytest.fixture
    def fetched(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Files that were asked for; the hub has a model with two languages."""
        files = ("model.safetensors", "adapter.deu.safetensors", "adapter.fra.safetensors")
        there = (*files, "config.json", "tokenizer_config.json")
        found: list[str] = []

        def fetch(name: str, allow_patterns: list[str], ignore_patterns: Any = ()) -> str:
            for file in there:
                wanted = any(fnmatch(file, each) for each in allow_patterns)
                if wanted and not any(fnmatch(file, each) for each in ignore_patterns):
                    text = '{"target_lang": "fra"}' if file.startswith("tokenizer") else "{}"
                    (tmp_path / file).write_text(text)
                    found.append(file)
            return str(tmp_path)

        monkeypatch.setattr(hub, "snapshot_download", fetch)
        monkeypatch.setattr(hub, "list_repo_files", lambda name: [*there])
        return found

    def test_that_of_the_tokenizer(self, fetched: list[str]) -> None:
        hub.downloaded("a/mms")
        assert [f for f in fetched if f.startswith("adapter")] == ["adapter.fra.safetensors"]
        assert "model.safetensors" in fetched

    def test_that_which_is_asked_for(self, fetched: list[str]) -> None:
        hub.downloaded("a/mms", "deu")
        assert [f for f in fetched if f.startswith("adapter")] == ["adapter.deu.safetensors"]

    def test_one_that_there_is_not(self, fetched: list[str]) -> None:
        with pytest.raises(InputError, match="no adapter for the language 'xyz', only: deu, fra"):
            hub.downloaded("a/mms", "xyz")
        assert not any(f.startswith("adapter") for f in fetched)
