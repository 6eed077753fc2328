"""OpenAI's own files of Whisper."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from quantkit.errors import CheckpointError  # noqa: E402
from quantkit.models.pickled_names import is_openai  # noqa: E402
from quantkit.models.whisper import vocabulary_places  # noqa: E402
from quantkit.models.whisper.checkpoint import load_whisper  # noqa: E402
from tests.whisper import openai_checkpoint, tiny_whisper  # noqa: E402


@pytest.fixture(autouse=True)
def no_vocabulary_lies_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary_places, "_elsewhere", lambda published: ())


def wide() -> Any:
    return tiny_whisper(encoder_ffn_dim=64, decoder_ffn_dim=64)


def saved(folder: Path, content: Any, *, vocabulary: bool = True) -> Path:
    path = folder / "tiny.pt"
    torch.save(content, path)
    if vocabulary:
        lines = (f"{base64.b64encode(str(i).encode()).decode()} {i}" for i in range(50_257))
        (folder / "multilingual.tiktoken").write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.slow
def test_it_is_the_model_of_transformers(tmp_path: Path) -> None:
    model = wide()
    path = saved(tmp_path, openai_checkpoint(model))
    assert is_openai(path)
    loaded = load_whisper(path)
    state = loaded.model.state_dict()
    for name, each in model.state_dict().items():
        torch.testing.assert_close(state[name], each, atol=1e-4, rtol=0)
    assert loaded.model.config.encoder_ffn_dim == 64
    assert loaded.vocabulary.decode([12, 345]) == "12345"
    assert (loaded.vocabulary.end, loaded.vocabulary.times.start) == (50_257, 50_364)
    assert len(loaded.vocabulary.suppressed) > 50


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    loaded = load_whisper(saved(tmp_path, openai_checkpoint(wide().half())))
    assert {each.dtype for each in loaded.model.parameters()} == {torch.float32}


def test_without_a_vocabulary_the_way_to_one_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path, openai_checkpoint(wide()), vocabulary=False)
    with pytest.raises(CheckpointError, match=r"put tokenizer.json of openai/whisper-tiny beside"):
        load_whisper(path)


def test_other_checkpoints_of_torch_are_none_of_them(tmp_path: Path) -> None:
    assert not is_openai(saved(tmp_path, {"dims": 3}))
    assert not is_openai(tmp_path)
    assert not is_openai(tmp_path / "multilingual.tiktoken")
    (tmp_path / "odd.pt").write_bytes(b"PK\x03\x04 and no more")
    assert not is_openai(tmp_path / "odd.pt")


def _changed(change: Callable[[dict[str, Any]], None]) -> Any:
    content = openai_checkpoint(wide())
    change(content)
    return content


def _without(content: dict[str, Any]) -> None:
    del content["model_state_dict"]["decoder.ln.bias"]


def _nan(content: dict[str, Any]) -> None:
    content["model_state_dict"]["decoder.ln.bias"][3] = torch.nan


def _odd(content: dict[str, Any]) -> None:
    content["model_state_dict"]["odd"] = torch.zeros(1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without, "lacks model.decoder.layer_norm.bias"),
        (_nan, "layer_norm.bias has values that are not finite"),
        (_odd, "an unknown tensor model.odd"),
        (lambda c: c["dims"].update(n_text_ctx=500), "has shape .* settings require"),
        (lambda c: c["dims"].update(n_text_state=32), "have different widths"),
        (lambda c: c["dims"].update(n_audio_layer=10**9), "encoder_layers must be a whole number"),
        (lambda c: c["dims"].update(n_audio_ctx=300), "a Whisper of 300 audio"),
        (lambda c: c["dims"].pop("n_mels"), "dims lacks n_mels"),
        (lambda c: c.update(dims=[]), "has no dims"),
    ],
)
def test_damaged_ones_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        openai_or_refused(saved(tmp_path, _changed(change)))


def openai_or_refused(path: Path) -> None:
    from quantkit.models.whisper.checkpoint import load_openai

    load_openai(path)


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    class Surprise:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return Path(tmp_path / "surprise").write_text, ("ran",)  # type: ignore[return-value]

    content = {**openai_checkpoint(wide()), "odd": Surprise()}
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        openai_or_refused(saved(tmp_path, content))
    assert not (tmp_path / "surprise").exists()
