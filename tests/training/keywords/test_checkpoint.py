from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from transformers import AutoFeatureExtractor, Wav2Vec2ConformerForSequenceClassification

from quantkit.errors import CheckpointError, InputError
from quantkit.training.keywords.checkpoint import load_spotter, save_spotter
from quantkit.training.keywords.model import new_spotter
from quantkit.training.keywords.recipe import KeywordRecipe
from quantkit.training.publish import main

_CLASSES = ("high", "low", "silence")


@pytest.fixture
def model(tiny_recipe: KeywordRecipe) -> Wav2Vec2ConformerForSequenceClassification:
    torch.manual_seed(0)
    return new_spotter(tiny_recipe.model, _CLASSES, 16_000).eval()


def test_transformers_loads_it_in_float32_whatever_is_stored(
    model: Wav2Vec2ConformerForSequenceClassification, tmp_path: Path
) -> None:
    save_spotter(tmp_path, model, 16_000, {}, dtype=torch.float16)
    loaded = Wav2Vec2ConformerForSequenceClassification.from_pretrained(tmp_path)
    assert loaded.dtype == torch.float32
    assert loaded.config.id2label == {0: "high", 1: "low", 2: "silence"}
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert (extractor.sampling_rate, extractor.do_normalize) == (16_000, True)
    waveforms = torch.randn(2, 3_200)
    with torch.no_grad():
        before, after = model(waveforms).logits, loaded.eval()(waveforms).logits
    assert torch.allclose(before, after, atol=1e-2)


def test_a_spotter_comes_back_with_its_card(
    model: Wav2Vec2ConformerForSequenceClassification, tmp_path: Path
) -> None:
    save_spotter(tmp_path, model, 16_000, {"step": 7})
    spotter = load_spotter(tmp_path)
    assert (spotter.classes, spotter.sample_rate) == (_CLASSES, 16_000)
    assert spotter.card == {"step": 7}
    assert not spotter.model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, spotter.model.state_dict()[name])


def test_a_published_spotter_is_half_as_large_and_signed(
    model: Wav2Vec2ConformerForSequenceClassification, tmp_path: Path
) -> None:
    save_spotter(tmp_path / "best", model, 16_000, {"step": 7})
    result = CliRunner().invoke(
        main, [str(tmp_path / "best"), str(tmp_path / "tiny-en"), "--licence", "CC0-1.0"]
    )
    assert result.exit_code == 0
    card = load_spotter(tmp_path / "tiny-en").card
    assert card == {"name": "tiny-en", "licence": "CC0-1.0", "step": 7}
    sizes = [(tmp_path / d / "model.safetensors").stat().st_size for d in ("best", "tiny-en")]
    assert sizes[1] < 0.75 * sizes[0]


def test_damage_is_one_clear_line(
    model: Wav2Vec2ConformerForSequenceClassification, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        load_spotter(tmp_path)
    save_spotter(tmp_path, model, 16_000, {})
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_spotter(tmp_path)
    weights.write_bytes(whole)
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"schema": "other"}))
    with pytest.raises(CheckpointError, match="schema 'other'"):
        load_spotter(tmp_path)


def test_weights_that_are_not_there_are_not_made_up(
    model: Wav2Vec2ConformerForSequenceClassification, tmp_path: Path
) -> None:
    save_spotter(tmp_path, model, 16_000, {})
    config = tmp_path / "config.json"
    deeper = {**json.loads(config.read_text()), "num_hidden_layers": 2}
    config.write_text(json.dumps(deeper))
    with pytest.raises(CheckpointError, match=r"missing keys: .*layers\.1\."):
        load_spotter(tmp_path)


def test_a_weight_beyond_float16_is_refused(
    model: Wav2Vec2ConformerForSequenceClassification, tmp_path: Path
) -> None:
    with torch.no_grad():
        model.classifier.weight[0, 0] = 1e6
    with pytest.raises(InputError, match=r"classifier\.weight has values that are not finite"):
        save_spotter(tmp_path, model, 16_000, {}, dtype=torch.float16)
