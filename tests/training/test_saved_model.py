"""Folders of trained models: weights, settings and a card that belong together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

from quantkit.disk.files import read_json
from quantkit.errors import CheckpointError
from quantkit.training.saved_model import has_card, read_card, saved_model

SCHEMA = "quantkit.test/1"


@pytest.fixture(scope="module")
def model() -> Wav2Vec2ForCTC:
    return Wav2Vec2ForCTC(
        Wav2Vec2Config(
            vocab_size=5,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            conv_dim=(8, 8),
            conv_stride=(5, 4),
            conv_kernel=(5, 4),
            num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2,
        )
    )


def test_the_card_says_what_it_is_given_and_of_which_kind(
    model: Wav2Vec2ForCTC, tmp_path: Path
) -> None:
    assert not has_card(tmp_path, SCHEMA)
    with saved_model(tmp_path, model, SCHEMA, {"step": 3}, torch.float16) as new:
        (new / "own.txt").write_text("beside it")
    assert has_card(tmp_path, SCHEMA)
    assert not has_card(tmp_path, "quantkit.other/1")
    assert read_card(tmp_path, SCHEMA, "model") == {"step": 3}
    assert (tmp_path / "own.txt").read_text() == "beside it"


def test_weights_are_stored_in_half_and_computed_in_float32(
    model: Wav2Vec2ForCTC, tmp_path: Path
) -> None:
    with saved_model(tmp_path, model, SCHEMA, {}, torch.float16):
        pass
    loaded = Wav2Vec2ForCTC.from_pretrained(tmp_path)
    assert loaded.dtype == torch.float32
    whole = sum(value.numel() for value in model.state_dict().values())
    assert (tmp_path / "model.safetensors").stat().st_size < 3 * whole + 10_000


def test_nothing_is_replaced_where_a_file_cannot_be_written(
    model: Wav2Vec2ForCTC, tmp_path: Path
) -> None:
    with saved_model(tmp_path, model, SCHEMA, {"step": 1}, torch.float32):
        pass
    with (
        pytest.raises(RuntimeError),
        saved_model(tmp_path, model, SCHEMA, {"step": 2}, torch.float32),
    ):
        raise RuntimeError("no tokenizer")
    assert read_json(tmp_path / "card.json", SCHEMA)["step"] == 1


def test_another_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no transducer that was trained here"):
        read_card(tmp_path, SCHEMA, "transducer")
