"""wav2vec 2.0 models that learn to spell tones, their checkpoints, and what becomes of these."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2ForCTC, Wav2Vec2Processor

from quantkit.errors import CheckpointError
from quantkit.exporting.sources import ExportOptions, export_source
from quantkit.tasks.open import open_speech_model
from quantkit.text.labels import Labels
from quantkit.training.launch import prepare_run
from quantkit.training.optimizers import make_optimizer
from quantkit.training.publish import publish
from quantkit.training.recipe import (
    AugmentSettings,
    OptimizerSettings,
    Recipe,
    Source,
    Stage,
    TeacherSettings,
)
from quantkit.training.wav2vec2.checkpoint import load_wav2vec2, save_wav2vec2
from quantkit.training.wav2vec2.model import new_wav2vec2
from quantkit.training.wav2vec2.trainer import TwoCycles
from tests.training.conftest import spoken
from tests.training.wav2vec2.conftest import SMALL

pytestmark = pytest.mark.slow

_STEPS, _TAUGHT = 260, 30
#: Nats per letter: without the sound, no less than 1.5 are possible.
_REACHED = 1.0


def recipe(teacher: Path | None = None, taught: int = _TAUGHT, **settings: Any) -> Recipe:
    return Recipe(
        model=SMALL,
        sources=(Source("tones", valid_share=0.2, join=2, join_speakers=False),),
        stages=(Stage(1.0, 5.0, {"tones": 1.0}),),
        optimizer=OptimizerSettings("adamw", 1e-2, warmup=0.1, clip_norm=1.0),
        augment=AugmentSettings(
            speed=0.0, pause_seconds=0.2, time_masks=1, time_width=5, frequency_masks=0
        ),
        teacher=None if teacher is None else TeacherSettings(str(teacher), taught),
        precision="float32",
        **{
            "batch_seconds": 8.0,
            "steps": 2,
            "validate_every": 2,
            "validation_clips": 4,
            **settings,
        },
    )


def trainer(settings: Recipe, corpus: Path, folder: Path, **options: Any) -> Any:
    return prepare_run(
        settings, folder, folders={"tones": corpus}, device=torch.device("cpu"), **options
    )


class Trained(NamedTuple):
    run: Any
    losses: list[float]
    folder: Path


@pytest.fixture(scope="module")
def trained(
    tone_corpus: Path, teacher_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    folder = tmp_path_factory.mktemp("wav2vec2")
    settings = recipe(teacher_folder, steps=_STEPS, validate_every=_STEPS)
    run = trainer(settings, tone_corpus, folder)
    losses: list[float] = []
    run.run(lambda progress: losses.append(progress.loss))
    return Trained(run, losses, folder)


def test_it_learns_from_its_teacher_and_then_to_spell(trained: Trained) -> None:
    taught, spelling = trained.losses[:_TAUGHT], trained.losses[_TAUGHT:]
    assert np.mean(taught[-3:]) < 0.7 * np.mean(taught[:3])
    assert np.mean(spelling[-10:]) < _REACHED < np.mean(spelling[:3])
    saved = load_wav2vec2(trained.folder / "best")
    assert isinstance(saved.model, Wav2Vec2ForCTC)
    assert saved.labels.tokens[1:] == Labels.english().tokens[1:]
    assert saved.card["step"] == _STEPS
    assert saved.card["validation_wer"] == trained.run.best
    assert saved.card["recipe"]["teacher"]["checkpoint"] == "wav2letter"
    assert [*trained.run.history[0]][-2:] == ["wer", "wer_tones"]


def test_the_checkpoint_says_the_same_here_in_transformers_and_as_an_artifact(
    trained: Trained, tmp_path: Path
) -> None:
    folder = tmp_path / "best"
    waveform = np.concatenate([spoken("abc"), spoken("ca")])
    saved = load_wav2vec2(trained.folder / "best")
    with torch.no_grad():
        # A model so young is sure of silence.
        saved.model.lm_head.bias[saved.labels.blank] -= 3.0
    save_wav2vec2(folder, saved.model, saved.labels, saved.sample_rate, saved.card)
    processor = Wav2Vec2Processor.from_pretrained(folder)
    inputs = processor(waveform, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        logits = Wav2Vec2ForCTC.from_pretrained(folder).eval()(**inputs).logits
        assert torch.allclose(saved.model(**inputs).logits, logits, atol=1e-5)
    (expected,) = processor.batch_decode(logits.argmax(-1))
    assert expected

    path = tmp_path / "model.onnx"
    parity = export_source(str(folder), path, ExportOptions())
    assert parity.worst.difference < 1e-4
    artifact = open_speech_model(path)
    (output,) = artifact.outputs([waveform])
    assert artifact.text_of(output) == expected


def test_clips_of_a_batch_are_written_as_each_is_alone(trained: Trained) -> None:
    trained.run._kept.eval()
    clips = trained.run._validation["tones"]
    with torch.inference_mode():
        together = trained.run._transcribe(trained.run._preparer.validation_batch(clips))
        alone = [
            trained.run._transcribe(trained.run._preparer.validation_batch([clip]))[0]
            for clip in clips
        ]
    assert together == alone


def test_a_run_that_was_cut_off_ends_with_the_same_weights(
    tone_corpus: Path, teacher_folder: Path, tmp_path: Path
) -> None:
    # An epoch is one batch, so that either run begins one with the third step.
    settings = recipe(teacher_folder, 1, steps=4, batch_seconds=1_000.0, average_decay=0.9)
    whole = trainer(settings, tone_corpus, tmp_path / "whole")
    whole.run()
    cut = trainer(settings, tone_corpus, tmp_path / "cut")

    def stop(progress: Any) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut.run(stop)
    resumed = trainer(settings, tone_corpus, tmp_path / "cut")
    assert resumed.resume()
    assert resumed.step == 2
    resumed.run()
    for run in (whole, resumed):
        assert run.step == 4
    for ours, theirs in (
        (whole.model, resumed.model),
        (whole._average.model, resumed._average.model),
    ):
        for name, weight in ours.state_dict().items():
            assert torch.equal(weight, theirs.state_dict()[name]), name


def test_a_teacher_of_other_labels_teaches_states_alone(
    tone_corpus: Path, teacher_folder: Path, tmp_path: Path
) -> None:
    others = recipe(teacher_folder, alphabet="hw4p2")
    for settings, spells in ((recipe(teacher_folder), True), (others, False)):
        run = trainer(settings, tone_corpus, tmp_path / str(spells))
        batch = run._prepare([*run._validation["tones"]], np.random.default_rng(0))
        run._loss(batch).backward()
        assert run.model.to_teacher.weight.grad is not None
        assert (run.model.ctc.lm_head.weight.grad is not None) == spells


def test_the_rate_rises_again_where_ctc_begins() -> None:
    settings = OptimizerSettings("adamw", 1e-2, warmup=0.1)
    optimizer = make_optimizer(torch.nn.Linear(2, 1), settings)
    schedule = TwoCycles(optimizer, settings, 150, 50)
    rates = []
    for step in range(150):
        schedule.before_step(step)
        rates.append(schedule.learning_rate)
    assert rates[5] == rates[60] == pytest.approx(1e-2)
    assert max(rates[0], rates[49], rates[50], rates[149]) < 3e-4
    assert rates[30] < rates[10]


def test_another_run_starts_from_its_weights(
    trained: Trained, tone_corpus: Path, tmp_path: Path
) -> None:
    other = trainer(recipe(), tone_corpus, tmp_path, start_from=trained.folder / "best")
    saved = load_wav2vec2(trained.folder / "best").model.state_dict()
    assert all(torch.equal(saved[n], each) for n, each in other.model.ctc.state_dict().items())
    assert all(parameter.requires_grad for parameter in other.model.parameters())


def test_weights_of_another_size_do_not_fit(
    trained: Trained, tone_corpus: Path, tmp_path: Path
) -> None:
    larger = dataclasses.replace(recipe(), model=dataclasses.replace(SMALL, intermediate_size=64))
    with pytest.raises(CheckpointError, match="do not fit the recipe"):
        trainer(larger, tone_corpus, tmp_path, start_from=trained.folder / "best")


def test_clips_that_become_noise_have_nothing_to_write(tone_corpus: Path, tmp_path: Path) -> None:
    settings = recipe()
    silent = dataclasses.replace(settings.augment, speechless_probability=1.0)
    run = trainer(dataclasses.replace(settings, augment=silent), tone_corpus, tmp_path)
    batch = run._prepare([*run._validation["tones"]], np.random.default_rng(0))
    assert not batch.target_lengths.any()
    assert torch.isfinite(run._loss(batch))


def test_a_teacher_that_is_none_is_refused(tone_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        trainer(recipe(tmp_path / "nobody"), tone_corpus, tmp_path)


def test_a_published_checkpoint_is_half_as_large(tmp_path: Path) -> None:
    torch.manual_seed(0)
    wide = dataclasses.replace(SMALL, intermediate_size=1_024)
    model = new_wav2vec2(wide, Labels.english()).eval()
    save_wav2vec2(tmp_path / "best", model, Labels.english(), 16_000, {"step": 7})
    publish(tmp_path / "best", tmp_path / "tiny-en", "tiny-en", "CC0-1.0")
    published = load_wav2vec2(tmp_path / "tiny-en")
    assert published.card == {"name": "tiny-en", "licence": "CC0-1.0", "step": 7}
    sizes = [(tmp_path / d / "model.safetensors").stat().st_size for d in ("best", "tiny-en")]
    assert sizes[1] < 0.6 * sizes[0]
    for name, weight in model.state_dict().items():
        assert torch.allclose(published.model.state_dict()[name], weight, atol=1e-3)


def test_a_folder_without_a_card_is_none_of_ours(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no wav2vec 2\.0 that was trained here"):
        load_wav2vec2(tmp_path)


def test_it_begins_with_convolutions_of_a_relative(
    trained: Trained, tone_corpus: Path, tmp_path: Path
) -> None:
    relative = trained.folder / "best"
    # Its last convolution has another width, and stays random.
    wider = dataclasses.replace(SMALL, conv_dim=(32, 32, 48))
    settings = dataclasses.replace(recipe(), model=wider, convolutions=str(relative))
    run = trainer(settings, tone_corpus, tmp_path / "run")
    theirs = load_wav2vec2(relative).model.wav2vec2.feature_extractor.conv_layers
    ours = run.model.ctc.wav2vec2.feature_extractor.conv_layers
    for layer in range(2):
        assert torch.equal(ours[layer].conv.weight, theirs[layer].conv.weight)
    assert ours[2].conv.weight.shape != theirs[2].conv.weight.shape


def test_a_relative_without_any_like_them_is_refused(
    trained: Trained, tone_corpus: Path, tmp_path: Path
) -> None:
    other = dataclasses.replace(SMALL, conv_dim=(16, 16, 16))
    settings = dataclasses.replace(recipe(), model=other, convolutions=str(trained.folder / "best"))
    with pytest.raises(CheckpointError, match="no convolutions of the recipe's shapes"):
        trainer(settings, tone_corpus, tmp_path / "run")
