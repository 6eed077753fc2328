"""The checkpoint that we ship keeps what its card says, on people whom it never heard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from transformers import Wav2Vec2ConformerForSequenceClassification

from quantkit.training.keywords.checkpoint import load_spotter
from quantkit.training.keywords.evaluation import evaluate
from quantkit.training.keywords.recipe import load_keyword_recipe
from quantkit.training.keywords.speakers import open_part

_MODEL = Path(__file__).parents[3] / "models" / "keywords-en"
_CLIPS = 300


def _claimed() -> tuple[float, float, float]:
    """Accuracy and its 95 % interval in the card's table."""
    card = (_MODEL / "README.md").read_text()
    row = re.search(r"^\| all \|.*\| ([\d.]+)% \[([\d.]+)%, ([\d.]+)%\] \|$", card, re.MULTILINE)
    assert row is not None
    value, low, high = (float(figure) / 100 for figure in row.groups())
    return value, low, high


def test_it_is_small_and_loads_without_quantkit() -> None:
    assert sum(path.stat().st_size for path in _MODEL.iterdir()) < 8_000_000
    model = Wav2Vec2ConformerForSequenceClassification.from_pretrained(_MODEL)
    assert model.config.position_embeddings_type == "relative"
    assert len(model.config.id2label) == 12


@pytest.mark.slow
def test_its_accuracy_is_the_claimed_one(shared_data: Path) -> None:
    recipe = load_keyword_recipe(_MODEL / "recipe.toml")
    held_out = open_part(recipe.sources[0], shared_data / "speech_commands", "test")
    measured = evaluate(load_spotter(_MODEL), recipe, held_out.sample(_CLIPS, seed=0))
    _, low, high = _claimed()
    lowest, highest = measured.interval
    assert lowest <= high
    assert low <= highest
