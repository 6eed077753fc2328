"""What equalizing the layers of the shipped model gives, and which way of it.

Run it from the repository after ``make export``:
``python -m benchmarks.conditioning --data FOLDER``, with ``librispeech/`` in the folder. It takes
about 15 minutes and renews its section of RESULTS.md. Calibration clips are of training speakers,
test clips of others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import click

from benchmarks.codec_accuracy import divergences
from benchmarks.results import host, replace_section, table
from benchmarks.shipped_model import BUILD, Score, score, test_sets
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import load_model, save_model
from quantkit.graph.editor import GraphEditor
from quantkit.graph.info import info_of
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import ROUNDINGS, PtqSettings, Rounding
from quantkit.quantization.equalize.channel_scaling import find_junctions
from quantkit.quantization.equalize.conditioning import observe_magnitudes
from quantkit.quantization.equalize.equalization import Form, equalize
from quantkit.quantization.equalize.smoothing import smooth

CODECS = ("int8", "bitplane:6", "bitplane:4", "bitplane:3", "grouped:4", "grouped:3", "grouped:2")
FORMS: tuple[Form, ...] = get_args(Form)
ALPHAS = (0.5, 0.75)
CALIBRATION_CLIPS = 32


def write_float_models(folder: Path, source: Path, audio: Corpus) -> dict[str, Path]:
    """The float model, and the same with factors moved between its layers in each way."""
    paths = {"none": source}
    info = info_of(load_model(source), str(source))
    ways: list[Form | float] = [*FORMS, *ALPHAS]
    for way in ways:
        model = load_model(source)
        editor = GraphEditor(model)
        junctions = find_junctions(editor)
        seen = observe_magnitudes(model, junctions, CalibrationData.of(audio, info))
        if isinstance(way, float):
            smooth(editor, junctions, seen, way)
        else:
            equalize(editor, junctions, way, seen)
        name = f"smoothing, α {way:g}" if isinstance(way, float) else way
        paths[name] = folder / f"{name}.onnx"
        save_model(model, paths[name])
    return paths


def quantized(
    folder: Path, sources: Sequence[Path], audio: Corpus, codec: str, rounding: Rounding
) -> list[Path]:
    """Each of ``sources``, static with ``codec``."""
    settings = QuantizeSettings(compute="static", codec=CodecChoice.parse(codec))
    paths = [folder / f"{codec.replace(':', ' ')}, {rounding}, {path.name}" for path in sources]
    for source, path in zip(sources, paths, strict=True):
        quantize_model(source, path, settings, audio, fitting=PtqSettings(rounding=rounding))
    return paths


def row(name: str, each: Score, base: Score, divergence: float, before: float) -> list[str]:
    """One way with one codec; changes are against no equalization."""
    found, reference = each.accuracy.levenshtein, base.accuracy.levenshtein
    assert found is not None
    assert reference is not None
    change = f"{divergence / before - 1:+.0%}"
    return [name, f"{divergence:.5f}", change, f"{found:.2f}", f"{found - reference:+.2f}"]


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True
)
@click.option("--clips", default=100, show_default=True, help="Of the test set, at most.")
@click.option("--seed", default=0, show_default=True)
def main(data: Path, clips: int, seed: int) -> None:
    """Score every way with every codec and renew RESULTS.md."""
    source = BUILD / "float32.onnx"
    if not source.exists():
        raise click.ClickException(f"{source} is missing: run `make export` first")
    audio = open_corpus(data / "librispeech").select(split="train")
    audio = replace(audio.sample(CALIBRATION_CLIPS, seed), name="LibriSpeech, training speakers")
    name = "LibriSpeech, dev speakers"
    corpus = test_sets(data)[name].sample(clips, seed)
    parts = [
        "## Equalization on the shipped model",
        f"`python -m benchmarks.conditioning --data FOLDER`: all layers static, calibrated on "
        f"{CALIBRATION_CLIPS} clips of {audio.name}; {len(corpus)} clips of {name}, decoder "
        f"greedy. Divergence: how far the posteriors move from the float model's, in nats per "
        f"frame (Kullback-Leibler). Changes are against the same codec without. {host()}.",
    ]
    header = ["way", "divergence", "change", "mean Levenshtein", "change"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sources = write_float_models(folder, source, audio)
        for rounding in ROUNDINGS:
            for codec in CODECS if rounding == "nearest" else CODECS[2:]:
                paths = quantized(folder, list(sources.values()), audio, codec, rounding)
                found = divergences([source, *paths], corpus)[1:]
                scores = score([source, *paths], corpus, "greedy", seed)[1:]
                rows = [
                    row(way, each, scores[0], divergence, found[0])
                    for way, each, divergence in zip(sources, scores, found, strict=True)
                ]
                parts += [f"### {codec}, rounding {rounding}", table(header, rows)]
                click.echo("\n\n".join(parts[-2:]))
    replace_section("conditioning", "\n\n".join(parts))


if __name__ == "__main__":
    main()
