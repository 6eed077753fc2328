"""Models with an adapter for each language, as MMS has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import save_file  # noqa: E402

from quantkit.errors import CheckpointError  # noqa: E402
from quantkit.models.pretrained import load_pretrained  # noqa: E402
from tests.pretrained import LARGE, VOCABULARY, save, tiny  # noqa: E402

GERMAN = (*VOCABULARY, "Ä", "Ö")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of two languages that was saved with the one of ``eng``."""
    model: Any = tiny("Wav2Vec2ForCTC", **LARGE, adapter_attn_dim=6)
    folder = save(tmp_path / "mms", model)
    for seed, language, size in ((1, "eng", len(VOCABULARY)), (2, "deu", len(GERMAN))):
        torch.manual_seed(seed)
        tensors = {n: torch.randn(t.shape) for n, t in model._get_adapters().items()}
        tensors |= {"lm_head.weight": torch.randn(size, 16), "lm_head.bias": torch.randn(size)}
        save_file(tensors, folder / f"adapter.{language}.safetensors")
    vocabularies = {
        "eng": {token: i for i, token in enumerate(VOCABULARY)},
        "deu": {token: i for i, token in enumerate(GERMAN)},
    }
    (folder / "vocab.json").write_text(json.dumps(vocabularies))
    (folder / "tokenizer_config.json").write_text('{"target_lang": "eng"}')
    return folder


def theirs(folder: Path, language: str) -> Any:
    from transformers import Wav2Vec2ForCTC

    return Wav2Vec2ForCTC.from_pretrained(
        folder, target_lang=language, ignore_mismatched_sizes=True
    ).state_dict()


@pytest.mark.parametrize(("asked", "language"), [("", "eng"), ("eng", "eng"), ("deu", "deu")])
def test_the_adapter_of_the_language_is_loaded(folder: Path, asked: str, language: str) -> None:
    loaded = load_pretrained(folder, asked)
    assert loaded.labels is not None
    assert ("Ä" in loaded.labels.tokens) == (language == "deu")
    state = loaded.model.state_dict()
    for name, tensor in theirs(folder, language).items():
        assert torch.equal(state[name], tensor), name
    assert loaded.sha256 != load_pretrained(folder, "deu" if language == "eng" else "eng").sha256


def test_a_language_without_an_adapter_is_named_with_those_that_have_one(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="no adapter for the language 'fra', only for: deu"):
        load_pretrained(folder, "fra")
    with pytest.raises(CheckpointError, match=r"no adapter for the language '\.\./x'"):
        load_pretrained(folder, "../x")


def test_a_model_of_one_language_has_no_other(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="'deu', nor for any other"):
        load_pretrained(save(tmp_path, tiny("Wav2Vec2ForCTC")), "deu")


@pytest.mark.parametrize("damage", ["cut", "missing", "odd", "nan", "shape"])
def test_damaged_adapters_are_refused(folder: Path, damage: str) -> None:
    path = folder / "adapter.deu.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        from safetensors.torch import load_file

        tensors = load_file(path)
        name = next(iter(tensors))
        tensors |= {
            "missing": {},
            "odd": {"odd": torch.zeros(1)},
            "nan": {name: torch.full_like(tensors[name], torch.nan)},
            "shape": {name: torch.zeros(1, 1)},
        }[damage]
        if damage == "missing":
            del tensors[name]
        save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"adapter\.deu\.safetensors"):
        load_pretrained(folder, "deu")
