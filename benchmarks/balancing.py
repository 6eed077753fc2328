"""Whisper in int8 with and without balanced inputs: how far its posteriors move, and its speed.

Run it from the repository: ``python -m benchmarks.balancing --data FOLDER``, with the folders that
:mod:`benchmarks.whisper` needs. It renews its section of RESULTS.md.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from benchmarks.results import host, replace_section, table
from benchmarks.whisper import BUDGETS, LANGUAGES, calibration, float_model, plain_dynamic, test_set
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.graph.artifact import model_files, read_info, total_size
from quantkit.personalization.outliers import with_balance
from quantkit.quantization import quantize_model
from quantkit.quantization.choices.presets import preset
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.encoder_decoder.network import ExportedNetwork, Network
from quantkit.sensitivity.model_divergence import model_divergence

#: Of each test set; short clips of one language share a window.
CLIPS = 8
ROUNDS = 10


def test_feeds(data: Path, model: str, source: Path) -> CalibrationData:
    """Clips that nothing was calibrated on, in all languages that the model knows."""
    names = ("librispeech", *LANGUAGES) if model == "base" else ("librispeech",)
    wanted = CLIPS if len(names) > 1 else 3 * CLIPS
    clips = [clip for name in names for clip in tuple(test_set(data, name))[:wanted]]
    return CalibrationData(Corpus("test clips", tuple(clips)), read_info(source), source)


def seconds_of(networks: Mapping[str, Network], feeds: CalibrationData) -> dict[str, float]:
    """Median time of a window and the tokens of its text, in turns."""
    _, inputs = next(iter(feeds))
    taken: dict[str, list[float]] = {name: [] for name in networks}
    for turn in range(ROUNDS + 1):
        for name, network in networks.items():
            begin = time.perf_counter()
            network.read(inputs["features"], inputs["tokens"], inputs["positions"])
            if turn:
                taken[name].append(time.perf_counter() - begin)
    return {name: float(np.median(each)) for name, each in taken.items()}


def rows_of(data: Path, model: str, folder: Path) -> list[list[str]]:
    """One line for each form of ``model``."""
    source = float_model(model)
    heard = CalibrationData(calibration(data, model), read_info(source), source)
    usual = PtqSettings()
    prepared = PreparedModel.of(source)
    balanced = with_balance(prepared, heard, preset("hybrid"), usual)
    files = {"float32": source, "ONNX Runtime dynamic int8": plain_dynamic(source)}
    fittings = {
        "quantkit int8": usual,
        "quantkit int8, smoothed (α 0.5)": replace(usual, smoothing=0.5),
        f"quantkit int8, {len(balanced.balance)} layers balanced": balanced,
    }
    for number, (name, fitting) in enumerate(fittings.items()):
        files[name] = folder / f"{model}-{number}.onnx"
        quantize_model(prepared, files[name], "hybrid", heard, fitting=fitting)
    tested = test_feeds(data, model, source)
    networks = {}
    for name, path in files.items():
        encoder, decoder = model_files(path)
        networks[name] = ExportedNetwork.load(encoder, decoder)
    seconds = seconds_of(networks, tested)
    return [
        [
            model,
            name,
            f"{total_size(path) / 1e6:.1f}",
            f"{model_divergence(source, path, tested).mean:.4f}" if path != source else "0",
            f"{seconds['float32'] / seconds[name]:.2f}×",
        ]
        for name, path in files.items()
    ]


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
def main(data: Path) -> None:
    """Measure, and renew the section in RESULTS.md."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="quantkit-balancing-") as folder:
        for model in BUDGETS:
            rows += rows_of(data, model, Path(folder))
    header = ["model", "form", "MB", "nats per token", "speed"]
    section = f"""## Balanced inputs

`python -m benchmarks.balancing --data …`: eight bits everywhere, and how far posteriors of the
next token move from those of float32, token by token, on text that float32 writes for clips of no
calibration (tiny.en: {3 * CLIPS} of LibriSpeech; base: {CLIPS} of each set). Speed: one thread,
one window of 30 seconds and its text, median of {ROUNDS} in turns. {host()}.

{table(header, rows)}
"""
    replace_section("balancing", section)
    click.echo(section)


if __name__ == "__main__":
    main()
