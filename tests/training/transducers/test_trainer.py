"""Transducers that learn to spell tones, their checkpoints, and what becomes of these."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, ParakeetForRNNT, ParakeetForTDT

from quantkit.audio.nemo_frontend import NemoFrontend
from quantkit.errors import CheckpointError
from quantkit.exporting.sources import ExportOptions, export_source
from quantkit.runtime.transducer.search import greedy_path, labels_of
from quantkit.tasks.open import open_speech_model
from quantkit.text.labels import Labels
from quantkit.training.launch import prepare_run
from quantkit.training.publish import publish
from quantkit.training.recipe import (
    AugmentSettings,
    OptimizerSettings,
    Recipe,
    Source,
    Stage,
)
from quantkit.training.transducers.checkpoint import (
    load_trained_transducer,
    save_trained_transducer,
)
from quantkit.training.transducers.model import new_transducer
from quantkit.training.transducers.network import TorchNetwork
from tests.training.conftest import spoken
from tests.training.transducers.conftest import SMALL

pytestmark = pytest.mark.slow

TASKS = ("rnnt", "tdt")
# After so many, the one knows which letters there are, and the other tells tones apart.
_STEPS = {"rnnt": 50, "tdt": 170}
# Nats per letter: without the sound, no less than 1.5 are possible.
_REACHED = {"rnnt": 2.5, "tdt": 1.0}
KINDS = {"rnnt": ParakeetForRNNT, "tdt": ParakeetForTDT}


def recipe(task: str, **settings: Any) -> Recipe:
    return Recipe(
        model=SMALL[task],
        sources=(Source("tones", valid_share=0.2, join=2, join_speakers=False),),
        stages=(Stage(1.0, 5.0, {"tones": 1.0}),),
        optimizer=OptimizerSettings("adamw", 1e-2, warmup=0.1),
        augment=AugmentSettings(
            speed=0.0, pause_seconds=0.2, time_masks=0, time_width=0, frequency_masks=0
        ),
        batch_seconds=8.0,
        precision="float32",
        **{"steps": 2, "validate_every": 2, "validation_clips": 4, **settings},
    )


def trainer(settings: Recipe, corpus: Path, folder: Path, **options: Any) -> Any:
    return prepare_run(
        settings, folder, folders={"tones": corpus}, device=torch.device("cpu"), **options
    )


class Trained(NamedTuple):
    task: str
    run: Any
    losses: list[float]
    folder: Path


@pytest.fixture(scope="module", params=TASKS)
def trained(
    request: pytest.FixtureRequest, tone_corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    folder = tmp_path_factory.mktemp("transducer")
    run = trainer(
        recipe(request.param, steps=_STEPS[request.param], validate_every=_STEPS[request.param]),
        tone_corpus,
        folder,
    )
    losses: list[float] = []
    run.run(lambda progress: losses.append(progress.loss))
    return Trained(request.param, run, losses, folder)


def test_it_learns_and_is_kept_in_the_format_of_transformers(trained: Trained) -> None:
    assert np.mean(trained.losses[-10:]) < _REACHED[trained.task]
    saved = load_trained_transducer(trained.folder / "best")
    assert isinstance(saved.model, KINDS[trained.task])
    assert saved.labels == Labels.english()
    assert saved.frontend == NemoFrontend(mel_bands=16)
    assert saved.card["step"] == _STEPS[trained.task]
    assert saved.card["validation_wer"] == trained.run.best
    assert [*trained.run.history[0]][-2:] == ["wer", "wer_tones"]


def test_the_checkpoint_says_the_same_here_in_transformers_and_as_an_artifact(
    trained: Trained, tmp_path: Path
) -> None:
    saved = load_trained_transducer(trained.folder / "best")
    with torch.no_grad():
        # A model so young is sure of silence.
        saved.model.joint.head.bias[saved.labels.blank] -= 3.0
    save_trained_transducer(
        tmp_path / "best", saved.model, saved.labels, saved.frontend, saved.card
    )
    waveform = np.concatenate([spoken("abc"), spoken("ca")])
    expected = said_by(saved.model, saved.frontend(waveform))
    assert expected

    processor = AutoProcessor.from_pretrained(tmp_path / "best")
    model = KINDS[trained.task].from_pretrained(tmp_path / "best").eval()
    found = model.generate(**processor(waveform, sampling_rate=16_000), max_new_tokens=2_000)
    assert processor.batch_decode(found.sequences, skip_special_tokens=True) == [expected]

    path = tmp_path / "model.onnx"
    parity = export_source(str(tmp_path / "best"), path, ExportOptions())
    assert parity.worst.difference < 1e-4
    artifact = open_speech_model(path)
    (output,) = artifact.outputs([saved.frontend(waveform)])
    assert artifact.text_of(output) == expected


def said_by(model: Any, features: Any) -> str:
    """The greedy text of (frames, bands), as validation finds it."""
    network, labels = TorchNetwork(model), Labels.english()
    with torch.inference_mode():
        (encoded,) = network.encode(torch.from_numpy(features)[None], torch.tensor([len(features)]))
        path = greedy_path(network, encoded, len(labels), labels.blank)
        return labels.decode(labels_of(path, labels.blank)["label"].tolist())


def test_clips_of_a_batch_are_written_as_each_is_alone(trained: Trained) -> None:
    trained.run.model.eval()
    batch = trained.run._preparer.validation_batch(trained.run._validation["tones"])
    with torch.inference_mode():
        together = trained.run._transcribe(batch)
        alone = [
            trained.run._transcribe(trained.run._preparer.validation_batch([clip]))[0]
            for clip in trained.run._validation["tones"]
        ]
    assert together == alone


def test_a_run_that_was_cut_off_goes_on_where_it_was(trained: Trained, tone_corpus: Path) -> None:
    longer = recipe(trained.task, steps=_STEPS[trained.task] + 2, validate_every=100)
    resumed = trainer(longer, tone_corpus, trained.folder)
    assert resumed.resume()
    for ours, theirs in zip(
        trained.run.model.state_dict().values(), resumed.model.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)
    resumed.run()
    assert resumed.step == _STEPS[trained.task] + 2


def test_another_run_starts_from_its_weights(
    trained: Trained, tone_corpus: Path, tmp_path: Path
) -> None:
    other = trainer(recipe(trained.task), tone_corpus, tmp_path, start_from=trained.folder / "best")
    saved = load_trained_transducer(trained.folder / "best").model.state_dict()
    assert all(torch.equal(saved[name], each) for name, each in other.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in other.model.parameters())


def test_the_other_kind_starts_from_them_and_draws_durations_alone(
    trained: Trained, tone_corpus: Path, tmp_path: Path
) -> None:
    (task,) = {*TASKS} - {trained.task}
    begun = trainer(recipe(task), tone_corpus, tmp_path, start_from=trained.folder / "best")
    drawn = trainer(recipe(task), tone_corpus, tmp_path / "drawn").model.state_dict()
    saved = load_trained_transducer(trained.folder / "best").model.state_dict()
    labels = len(Labels.english())
    for name, each in begun.model.state_dict().items():
        if name.startswith("joint.head"):
            assert torch.equal(each[:labels], saved[name][:labels])
            assert torch.equal(each[labels:], drawn[name][labels:])
        else:
            assert torch.equal(each, saved[name])
    assert torch.isfinite(torch.tensor(begun.run()))


@pytest.mark.parametrize("task", TASKS)
def test_a_model_of_another_size_does_not_start_from_them(
    task: str, trained: Trained, tone_corpus: Path, tmp_path: Path
) -> None:
    wider = dataclasses.replace(SMALL[task], decoder_hidden_size=32)
    settings = dataclasses.replace(recipe(task), model=wider)
    with pytest.raises(CheckpointError, match="do not fit the recipe"):
        trainer(settings, tone_corpus, tmp_path, start_from=trained.folder / "best")


def test_clips_that_become_noise_have_nothing_to_write(tone_corpus: Path, tmp_path: Path) -> None:
    settings = recipe("tdt")
    silent = dataclasses.replace(settings.augment, speechless_probability=1.0)
    run = trainer(dataclasses.replace(settings, augment=silent), tone_corpus, tmp_path)
    clips = run._validation["tones"]
    batch = run._prepare([*clips], np.random.default_rng(0))
    assert not batch.target_lengths.any()
    assert torch.isfinite(run._loss(batch))


def test_a_published_checkpoint_is_half_as_large(tmp_path: Path) -> None:
    torch.manual_seed(0)
    wide = dataclasses.replace(SMALL["tdt"], decoder_hidden_size=96, intermediate_size=256)
    model = new_transducer(wide, Labels.english()).eval()
    save_trained_transducer(
        tmp_path / "best", model, Labels.english(), NemoFrontend(mel_bands=16), {"step": 7}
    )
    publish(tmp_path / "best", tmp_path / "tiny-en", "tiny-en", "CC0-1.0")
    published = load_trained_transducer(tmp_path / "tiny-en")
    assert published.card == {"name": "tiny-en", "licence": "CC0-1.0", "step": 7}
    sizes = [(tmp_path / d / "model.safetensors").stat().st_size for d in ("best", "tiny-en")]
    assert sizes[1] < 0.6 * sizes[0]
    for name, weight in model.state_dict().items():
        assert torch.allclose(published.model.state_dict()[name], weight, atol=1e-3)


def test_a_folder_without_a_card_is_none_of_ours(tmp_path: Path) -> None:
    expected = "no transducer of Parakeet's kind that was trained here"
    with pytest.raises(CheckpointError, match=expected):
        load_trained_transducer(tmp_path)
