from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from quantkit.audio.frontend import Frontend
from quantkit.errors import CheckpointError, InputError
from quantkit.models.checkpoint import load_wav2letter
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
from quantkit.text.labels import Labels
from quantkit.training.recipe import (
    AugmentSettings,
    OptimizerSettings,
    Recipe,
    Source,
    Stage,
    preset,
)
from quantkit.training.run import Progress, holds_earlier_run
from quantkit.training.sequence_trainer import TrainingData
from quantkit.training.setup import prepare_trainer
from quantkit.training.trainer import Trainer

_RECIPE = Recipe(
    model=Wav2LetterConfig(labels=29, width=32, head_width=64, dropout=0.0, batch_norm=True),
    sources=(Source("tones", valid_share=0.2),),
    stages=(Stage(1.0, 5.0, {"tones": 1.0}),),
    optimizer=OptimizerSettings("adamw", 5e-3, warmup=0.1),
    augment=AugmentSettings(speed=0.03, time_masks=0, time_width=0, frequency_masks=0),
    steps=300,
    batch_seconds=8.0,
    validate_every=60,
    freeze_norm_from=0.8,
    precision="float32",
)


def _trainer(recipe: Recipe, corpus: Path, folder: Path) -> Trainer:
    return prepare_trainer(recipe, folder, folders={"tones": corpus}, device=torch.device("cpu"))


@pytest.mark.slow
def test_a_small_model_learns_to_spell_and_the_best_one_is_kept(
    tone_corpus: Path, tmp_path: Path
) -> None:
    trainer = _trainer(_RECIPE, tone_corpus, tmp_path)
    seen: list[Progress] = []
    best = trainer.run(seen.append)
    assert best < 0.3
    assert seen[-1].step == _RECIPE.steps
    assert seen[-1].loss < 0.5 * seen[0].loss
    checkpoint = load_wav2letter(tmp_path / "best")
    assert checkpoint.labels == Labels.english()
    assert checkpoint.card["validation_cer"] == pytest.approx(best)
    history = json.loads((tmp_path / "history.json").read_text())
    assert [entry["step"] for entry in history] == [60, 120, 180, 240, 300]


def test_a_run_that_was_cut_off_goes_on_where_it_was(tone_corpus: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(_RECIPE, steps=6, validate_every=3)
    whole = _trainer(recipe, tone_corpus, tmp_path)
    whole.run()
    resumed = _trainer(dataclasses.replace(recipe, steps=9), tone_corpus, tmp_path)
    assert resumed.resume()
    assert resumed.step == 6
    for ours, theirs in zip(
        whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)
    resumed.run()
    assert resumed.step == 9
    assert [entry["step"] for entry in resumed.history] == [3, 6, 9]


def test_without_an_earlier_run_there_is_nothing_to_resume(
    tone_corpus: Path, tmp_path: Path
) -> None:
    assert not _trainer(_RECIPE, tone_corpus, tmp_path).resume()


def test_a_damaged_state_is_refused(tone_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="cannot resume"):
        _trainer(_RECIPE, tone_corpus, tmp_path).resume()


def test_alphabet_and_model_must_agree(tone_corpus: Path, tmp_path: Path) -> None:
    trainer = _trainer(_RECIPE, tone_corpus, tmp_path)
    with pytest.raises(InputError, match="29 labels, the alphabet 35"):
        Trainer(_RECIPE, TrainingData(None, {}, Labels.hw4p2(), None), tmp_path)  # type: ignore[arg-type]
    assert trainer.model.config.labels == 29


def test_the_published_recipe_trains_on_features_in_the_numpy_layout(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "hw4p2"
    folder.mkdir()
    for split, count in (("train", 6), ("dev", 3)):
        features = np.empty(count, object)
        texts = np.empty(count, object)
        for i in range(count):
            features[i] = rng.standard_normal((60 + i, 40)).astype(np.float32)
            texts[i] = np.array([b"IT'S", b"ON"])
        np.save(folder / f"{split}.npy", features)
        np.save(folder / f"{split}_transcripts.npy", texts)
    published = preset("published-hw4p2")
    small = dataclasses.replace(published.model, width=8, head_width=8)
    recipe = dataclasses.replace(published, model=small, steps=2, validate_every=2)
    trainer = prepare_trainer(
        recipe, tmp_path / "run", folders={"corpus": folder}, device=torch.device("cpu")
    )
    assert trainer.model.config.labels == 35
    trainer.run()
    assert load_wav2letter(tmp_path / "run" / "best").labels == Labels.hw4p2()


def test_bfloat16_trains_too(tone_corpus: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(_RECIPE, steps=4, validate_every=4, precision="bfloat16")
    trainer = _trainer(recipe, tone_corpus, tmp_path)
    losses: list[float] = []
    trainer.run(lambda progress: losses.append(progress.loss))
    assert all(loss == loss for loss in losses)


@pytest.mark.slow
def test_a_run_does_not_go_on_with_another_alphabet_or_front_end(
    tone_corpus: Path, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(_RECIPE, steps=2, validate_every=2)
    earlier = _trainer(recipe, tone_corpus, tmp_path)
    assert not holds_earlier_run(tmp_path)
    earlier.run()
    assert holds_earlier_run(tmp_path)

    other = _trainer(recipe, tone_corpus, tmp_path)
    tokens = other.labels.tokens
    other.labels = Labels((*tokens[:-2], *reversed(tokens[-2:])))
    with pytest.raises(CheckpointError, match=r"last\.pt: it was trained on another alphabet"):
        other.resume()
    quieter = prepare_trainer(
        recipe,
        tmp_path,
        folders={"tones": tone_corpus},
        frontend=Frontend(high_hz=4_000.0),
        device=torch.device("cpu"),
    )
    with pytest.raises(CheckpointError, match="other front-end settings"):
        quieter.resume()


def test_a_state_of_an_older_version_can_go_on(tone_corpus: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(_RECIPE, steps=2, validate_every=2)
    _trainer(recipe, tone_corpus, tmp_path).run()
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    del state["labels"], state["frontend"]
    torch.save(state, tmp_path / "last.pt")
    assert _trainer(recipe, tone_corpus, tmp_path).resume()


def test_the_models_inputs_are_the_front_ends_bands(tone_corpus: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(_RECIPE, model=dataclasses.replace(_RECIPE.model, features=80))
    with pytest.raises(InputError, match="takes 80 features, but the front end gives 40"):
        _trainer(recipe, tone_corpus, tmp_path)


def test_frozen_batch_norm_keeps_its_statistics(tone_corpus: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(_RECIPE, steps=8, validate_every=8, freeze_norm_from=0.5)
    trainer = _trainer(recipe, tone_corpus, tmp_path)
    means: list[torch.Tensor] = []
    trainer.run(
        lambda progress: means.append(trainer.model.state_dict()["blocks.0.norm.running_mean"] + 0)
    )
    assert not torch.equal(means[0], means[3])
    assert all(torch.equal(means[3], later) for later in means[4:])


def test_the_moving_average_of_the_weights_is_what_is_validated_and_kept(
    tone_corpus: Path, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(_RECIPE, steps=6, validate_every=6, average_decay=0.9)
    trainer = _trainer(recipe, tone_corpus, tmp_path)
    trainer.run()
    kept = load_wav2letter(tmp_path / "best").model.state_dict()
    average = torch.load(tmp_path / "last.pt", weights_only=True)["average"]["model"]
    name = "output.weight"
    assert torch.equal(kept[name], average[name])
    assert not torch.equal(kept[name], trainer.model.state_dict()[name])


def test_a_run_takes_up_its_average_and_one_without_begins_it(
    tone_corpus: Path, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(_RECIPE, steps=3, validate_every=3)
    _trainer(recipe, tone_corpus, tmp_path).run()
    for steps, averaged in ((6, 3), (9, 6)):
        longer = dataclasses.replace(recipe, steps=steps, average_decay=0.9)
        trainer = _trainer(longer, tone_corpus, tmp_path)
        assert trainer.resume()
        trainer.run()
        state = torch.load(tmp_path / "last.pt", weights_only=True)
        assert state["average"]["updates"] == averaged


def test_batch_norm_that_is_frozen_from_the_start_keeps_what_the_run_began_with(
    tone_corpus: Path, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(_RECIPE, steps=3, validate_every=3, freeze_norm_from=0.0)
    trainer = _trainer(recipe, tone_corpus, tmp_path)
    other = Wav2Letter(trainer.recipe.model)
    other.blocks[0].norm.running_mean.fill_(0.25)
    trainer.warm_start(other)
    trainer.run()
    assert (trainer.model.state_dict()["blocks.0.norm.running_mean"] == 0.25).all()


def test_clips_that_become_noise_have_nothing_to_write(tone_corpus: Path, tmp_path: Path) -> None:
    settings = dataclasses.replace(_RECIPE.augment, speechless_probability=1.0)
    trainer = _trainer(dataclasses.replace(_RECIPE, augment=settings), tone_corpus, tmp_path)
    groups = trainer._epoch(random.Random(0))
    batch = trainer._prepare(groups[0], np.random.default_rng(0))
    assert batch is not None
    assert len(batch.lengths) == len(groups[0])
    assert not batch.target_lengths.any()
    assert torch.isfinite(trainer._loss(batch))


@pytest.mark.slow
def test_asg_learns_to_spell_and_its_transitions_stand_with_the_labels(
    tone_corpus: Path, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(_RECIPE, criterion="asg", steps=200, validate_every=100)
    trainer = _trainer(recipe, tone_corpus, tmp_path)
    seen: list[Progress] = []
    best = trainer.run(seen.append)
    assert best < 0.5
    assert seen[-1].loss < 0.5 * seen[0].loss
    checkpoint = load_wav2letter(tmp_path / "best")
    assert checkpoint.labels.tokens == Labels.english().without_blank().tokens
    assert np.abs(checkpoint.labels.asg.matrix).max() > 0.05
    # It goes on with what it has learned.
    longer = dataclasses.replace(recipe, steps=201)
    again = _trainer(longer, tone_corpus, tmp_path)
    assert again.resume()
    other = _trainer(recipe, tone_corpus, tmp_path / "other")
    other.warm_start(checkpoint.model, checkpoint.labels)
    np.testing.assert_allclose(
        other.model.state_dict()["transitions"], checkpoint.labels.asg.matrix
    )


def test_errors_on_other_held_out_clips_are_not_compared_with_those_before(
    tone_corpus: Path, tmp_path: Path
) -> None:
    """A recipe that was given another source is validated on harder clips."""
    recipe = dataclasses.replace(_RECIPE, steps=2, validate_every=1)
    _trainer(recipe, tone_corpus, tmp_path).run()
    same = _trainer(recipe, tone_corpus, tmp_path)
    assert same.resume()
    assert same.best < float("inf")
    wider = dataclasses.replace(recipe, steps=3, sources=(Source("tones", valid_share=0.5),))
    other = _trainer(wider, tone_corpus, tmp_path)
    assert other.resume()
    assert other.best == float("inf")
    other.run()
    assert load_wav2letter(tmp_path / "best").card["step"] == 3
