from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from quantkit.errors import CheckpointError, CorpusError
from quantkit.training.keywords.checkpoint import load_spotter
from quantkit.training.keywords.evaluation import evaluate
from quantkit.training.keywords.recipe import KeywordRecipe
from quantkit.training.keywords.setup import prepare_keyword_trainer
from quantkit.training.keywords.speakers import open_part
from quantkit.training.keywords.trainer import KeywordTrainer
from quantkit.training.launch import prepare_run
from quantkit.training.recipe import Source
from quantkit.training.run import Progress


def _trainer(recipe: KeywordRecipe, corpus: Path, folder: Path) -> KeywordTrainer:
    return prepare_keyword_trainer(
        recipe, folder, folders={"tones": corpus}, device=torch.device("cpu")
    )


@pytest.mark.slow
def test_a_small_model_learns_to_tell_tones_apart_and_the_best_one_is_kept(
    tiny_recipe: KeywordRecipe, keyword_corpus: Path, tmp_path: Path
) -> None:
    trainer = _trainer(tiny_recipe, keyword_corpus, tmp_path)
    seen: list[Progress] = []
    best = trainer.run(seen.append)
    assert best <= 0.1
    assert seen[-1].step == tiny_recipe.steps
    assert seen[-1].loss < 0.7 * seen[0].loss
    history = json.loads((tmp_path / "history.json").read_text())
    assert [entry["step"] for entry in history] == [40, 80, 120]
    spotter = load_spotter(tmp_path / "best")
    assert spotter.classes == ("high", "low", "silence")
    assert spotter.card["validation_accuracy"] == pytest.approx(1.0 - best)
    held_out = open_part(tiny_recipe.sources[0], keyword_corpus, "test")
    assert evaluate(spotter, tiny_recipe, held_out).mean > 0.8


def test_a_run_that_was_cut_off_goes_on_where_it_was(
    tiny_recipe: KeywordRecipe, keyword_corpus: Path, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(tiny_recipe, steps=4, validate_every=2)
    whole = _trainer(recipe, keyword_corpus, tmp_path)
    assert not whole.resume()
    whole.run()
    resumed = _trainer(dataclasses.replace(recipe, steps=6), keyword_corpus, tmp_path)
    assert resumed.resume()
    assert resumed.step == 4
    for ours, theirs in (
        (whole.model, resumed.model),
        (whole.average.model, resumed.average.model),
    ):
        for name, tensor in ours.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name])
    resumed.run()
    assert [entry["step"] for entry in resumed.history] == [2, 4, 6]


def test_a_run_does_not_go_on_with_other_classes(
    tiny_recipe: KeywordRecipe, keyword_corpus: Path, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(tiny_recipe, steps=1, validate_every=1)
    _trainer(recipe, keyword_corpus, tmp_path).run()
    source = dataclasses.replace(recipe.sources[0], rename={"low": "deep"})
    other = dataclasses.replace(recipe, sources=(source,))
    with pytest.raises(CheckpointError, match="trained on other classes"):
        _trainer(other, keyword_corpus, tmp_path).resume()


def test_a_run_can_begin_with_the_weights_of_another(
    tiny_recipe: KeywordRecipe, keyword_corpus: Path, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(tiny_recipe, steps=1, validate_every=1)
    first = _trainer(recipe, keyword_corpus, tmp_path / "first")
    first.run()
    kept = load_spotter(tmp_path / "first" / "best")
    second = prepare_run(
        dataclasses.replace(recipe, seed=5),
        tmp_path / "second",
        start_from=tmp_path / "first" / "best",
        folders={"tones": keyword_corpus},
        device=torch.device("cpu"),
    )
    assert isinstance(second, KeywordTrainer)
    for name, tensor in kept.model.state_dict().items():
        assert torch.equal(second.average.model.state_dict()[name], tensor)
    wider = dataclasses.replace(recipe.model, intermediate_size=48)
    with pytest.raises(CheckpointError, match="do not fit the recipe"):
        _trainer(
            dataclasses.replace(recipe, model=wider), keyword_corpus, tmp_path / "third"
        ).warm_start(kept)


def test_validation_must_be_possible(
    tiny_recipe: KeywordRecipe, keyword_corpus: Path, tmp_path: Path
) -> None:
    none = dataclasses.replace(tiny_recipe, sources=(Source("tones", valid_share=0.0),))
    with pytest.raises(CorpusError, match="no validation clips"):
        _trainer(none, keyword_corpus, tmp_path)


def test_bfloat16_trains_too(
    tiny_recipe: KeywordRecipe, keyword_corpus: Path, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(tiny_recipe, steps=2, validate_every=2, precision="bfloat16")
    losses: list[float] = []
    _trainer(recipe, keyword_corpus, tmp_path).run(lambda progress: losses.append(progress.loss))
    assert all(loss == loss for loss in losses)
