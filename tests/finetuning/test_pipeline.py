"""From a checkpoint and audio to a finished file, and on after an interruption."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import quantkit
from quantkit.audio.frontend import Frontend
from quantkit.errors import CheckpointError, InputError
from quantkit.finetuning.settings import FinetuneSettings
from quantkit.models.checkpoint import save_wav2letter
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
from quantkit.text.labels import Labels


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoint")
    model = Wav2Letter(Wav2LetterConfig(labels=29, width=24, head_width=32, batch_norm=True))
    # So that the signal does not fade on its way (He et al. 2015), and posteriors differ.
    with torch.no_grad():
        for block in model.blocks:
            block.conv.weight.mul_(6**0.5)
        model.output.weight.mul_(12.0)
    save_wav2letter(folder / "model", model.eval(), Labels.english(), Frontend())
    quantkit.export(folder / "model", folder / "float32.onnx")
    return folder / "float32.onnx"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    rows = ["path\tsplit\tspeaker\tgender\tlanguage\tseconds\ttext"]
    for i in range(12):
        tone = np.sin(np.arange(16_000) * rng.uniform(0.05, 1.0)) * 0.3
        waveform = tone + 0.05 * rng.standard_normal(16_000)
        soundfile.write(folder / f"{i}.wav", waveform.astype(np.float32), 16_000)
        rows.append(f"{i}.wav\ttrain\ts\t\ten\t1.00\tabc")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder


_SETTINGS = quantkit.QuantizeSettings(
    compute="static", codec=quantkit.CodecChoice.parse("bitplane:2")
)
_SHORT = FinetuneSettings(
    minutes=5, steps=30, learning_rate=1e-3, scale_rate=5e-4, precision="float32"
)


@pytest.mark.slow
def test_a_taught_model_is_closer_to_its_float_one_in_a_file_of_the_same_size(
    checkpoint: Path, recordings: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.onnx"
    quantkit.quantize(checkpoint, plain, _SETTINGS, recordings)
    made = quantkit.finetune(
        checkpoint, tmp_path / "tuned.onnx", _SETTINGS, recordings, settings=_SHORT
    )
    assert made.steps == 30
    assert made.divergence < 0.95 * made.divergence_before
    assert made.size_bytes == plain.stat().st_size
    assert quantkit.load(made.path).transcribe(recordings / "0.wav").text is not None
    history = json.loads((tmp_path / "tuned.finetune" / "history.json").read_text())
    assert history[0]["divergence"] == pytest.approx(made.divergence_before)
    assert min(entry["divergence"] for entry in history) == pytest.approx(made.divergence)


@pytest.mark.slow
def test_a_run_goes_on_and_one_with_another_plan_does_not(
    checkpoint: Path, recordings: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tuned.onnx"
    first = FinetuneSettings(minutes=5, steps=4, precision="float32")
    longer = FinetuneSettings(minutes=5, steps=8, precision="float32")
    begun = quantkit.finetune(checkpoint, output, _SETTINGS, recordings, settings=first)
    with pytest.raises(InputError, match="holds an earlier run: add --resume"):
        quantkit.finetune(checkpoint, output, _SETTINGS, recordings, settings=first)
    told: list[int] = []
    made = quantkit.finetune(
        checkpoint,
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
        quantkit.finetune(checkpoint, output, other, recordings, settings=longer, resume=True)


@pytest.mark.slow
def test_transcripts_are_learned_where_there_are_some(
    checkpoint: Path, recordings: Path, tmp_path: Path
) -> None:
    settings = FinetuneSettings(minutes=5, steps=2, ctc_weight=10.0, precision="float32")
    losses: dict[bool, list[float]] = {True: [], False: []}
    for transcripts, seen in losses.items():
        quantkit.finetune(
            checkpoint,
            tmp_path / f"{transcripts}.onnx",
            _SETTINGS,
            recordings,
            settings=settings,
            transcripts=transcripts,
            on_step=lambda step, seen=seen: seen.append(step.loss),
        )
    assert losses[True][0] > losses[False][0] + 0.5
