"""From a float model and audio to a finished file, and on after an interruption."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import quantkit
from quantkit.audio.corpora import open_corpus
from quantkit.errors import CheckpointError, InputError
from quantkit.finetuning.settings import FinetuneSettings
from quantkit.graph.artifact import save_model
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.model_divergence import model_divergence
from tests.small_model import masked_convolutions


@pytest.fixture(scope="module")
def float32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "float32.onnx"
    save_model(masked_convolutions(), path)
    return path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    rows = ["path\tsplit\tspeaker\tgender\tlanguage\tseconds\ttext"]
    for i in range(24):
        loudness = np.exp(rng.standard_normal(8)).repeat(2_000)
        waveform = 0.02 * loudness * rng.standard_normal(16_000)
        soundfile.write(folder / f"{i}.wav", waveform.astype(np.float32), 16_000)
        rows.append(f"{i}.wav\ttrain\ts\t\ten\t1.00\tabc")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder


_SETTINGS = quantkit.QuantizeSettings(
    compute="static", codec=quantkit.CodecChoice.parse("bitplane:2")
)
_SHORT = FinetuneSettings(minutes=5, steps=60, learning_rate=1e-2, precision="float32")


@pytest.mark.slow
def test_a_taught_model_is_closer_to_its_float_one_in_a_file_of_the_same_size(
    float32: Path, recordings: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.onnx"
    quantkit.quantize(float32, plain, _SETTINGS, recordings)
    made = quantkit.finetune(
        float32, tmp_path / "tuned.onnx", _SETTINGS, recordings, settings=_SHORT
    )
    assert made.steps == 60
    assert made.divergence < 0.95 * made.divergence_before
    assert made.size_bytes == plain.stat().st_size
    assert quantkit.load(made.path).transcribe(recordings / "0.wav").text is not None
    history = json.loads((tmp_path / "tuned.finetune" / "history.json").read_text())
    assert history[0]["divergence"] == pytest.approx(made.divergence_before)
    assert min(entry["divergence"] for entry in history) == pytest.approx(made.divergence)


@pytest.mark.slow
def test_a_run_goes_on_and_one_with_another_plan_does_not(
    float32: Path, recordings: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tuned.onnx"
    first = FinetuneSettings(minutes=5, steps=4, precision="float32")
    longer = FinetuneSettings(minutes=5, steps=8, precision="float32")
    begun = quantkit.finetune(float32, output, _SETTINGS, recordings, settings=first)
    with pytest.raises(InputError, match="holds an earlier run: add --resume"):
        quantkit.finetune(float32, output, _SETTINGS, recordings, settings=first)
    told: list[int] = []
    made = quantkit.finetune(
        float32,
        output,
        _SETTINGS,
        recordings,
        settings=longer,
        resume=True,
        on_resumed=lambda step, minutes: told.append(step),
    )
    assert told == [4]
    assert made.steps == 8
    assert made.divergence_before == begun.divergence_before
    other = quantkit.QuantizeSettings(codec=quantkit.CodecChoice.parse("bitplane:3"))
    with pytest.raises(CheckpointError, match="another model, plan or audio"):
        quantkit.finetune(float32, output, other, recordings, settings=longer, resume=True)


@pytest.mark.slow
def test_transcripts_are_learned_where_there_are_some(
    float32: Path, recordings: Path, tmp_path: Path
) -> None:
    settings = FinetuneSettings(minutes=5, steps=2, ctc_weight=10.0, precision="float32")
    losses: dict[bool, list[float]] = {True: [], False: []}
    for transcripts, seen in losses.items():
        quantkit.finetune(
            float32,
            tmp_path / f"{transcripts}.onnx",
            _SETTINGS,
            recordings,
            settings=settings,
            transcripts=transcripts,
            on_step=lambda step, seen=seen: seen.append(step.loss),
        )
    assert losses[True][0] > losses[False][0] + 0.5


@pytest.mark.slow
def test_an_incremental_run_ends_on_the_levels_and_goes_on_after_an_interruption(
    float32: Path, recordings: Path, tmp_path: Path
) -> None:
    powers = quantkit.QuantizeSettings(
        compute="static", codec=quantkit.CodecChoice.parse("powers:3")
    )
    output = tmp_path / "tuned.onnx"
    steps = FinetuneSettings(minutes=5, steps=4, precision="float32", schedule="incremental")
    quantkit.finetune(float32, output, powers, recordings, settings=steps)
    longer = replace(steps, steps=60)
    made = quantkit.finetune(float32, output, powers, recordings, settings=longer, resume=True)
    assert made.divergence <= made.divergence_before
    # What was fixed is not undone by a longer run, and nothing is open at its end.
    state = torch.load(tmp_path / "tuned.finetune" / "last.pt", weights_only=True)
    fixed = [values for name, values in state["student"].items() if name.endswith(".fixed")]
    assert len(fixed) == len(made.plan.layers)
    assert all(bool(values.all()) for values in fixed)
    other = replace(longer, schedule="together")
    with pytest.raises(CheckpointError, match="another model, plan or audio"):
        quantkit.finetune(float32, output, powers, recordings, settings=other, resume=True)


@pytest.mark.slow
def test_a_codec_that_encodes_now_and_then_stores_its_best_and_not_its_last(
    float32: Path, recordings: Path, tmp_path: Path
) -> None:
    sparse = quantkit.QuantizeSettings(
        compute="float32", codec=quantkit.CodecChoice.parse("sparse:3,keep=50")
    )
    # So fast that the last model is far worse than others before it.
    wild = FinetuneSettings(minutes=5, steps=4, learning_rate=30.0, precision="float32")
    output = tmp_path / "tuned.onnx"
    made = quantkit.finetune(float32, output, sparse, recordings, settings=wild)
    history = json.loads((tmp_path / "tuned.finetune" / "history.json").read_text())
    assert history[-1]["divergence"] > 2 * made.divergence
    heard = PreparedModel.of(float32).feeds(open_corpus(recordings))
    assert model_divergence(float32, output, heard).mean < 1.5 * made.divergence
