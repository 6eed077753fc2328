"""What each codec costs in accuracy: the shipped model on real speech, at 2, 3, 4, 6 and 8 bits.

Run it from the repository after ``make export``:
``python -m benchmarks.codec_accuracy --data FOLDER``, with ``librispeech/`` and
``speech_commands/`` in the folder. It takes about 20 minutes and renews its section of RESULTS.md.
Calibration clips are of training speakers, test clips of others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from benchmarks.results import host, replace_section, table
from benchmarks.shipped_model import BUILD, ROOT, Score, score, test_sets
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.benchmarking.accuracy import iter_clips
from quantkit.benchmarking.contestant import open_contestants
from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import read_info, total_size
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.posteriors import divergence, frame_weights

CODECS = (
    "int8",
    *(f"bitplane:{bits}" for bits in (6, 4, 3, 2)),
    *(f"native:{bits}" for bits in (4, 2)),
    *(f"codebook:{bits}" for bits in (6, 4, 3, 2)),
    *(f"grouped:{bits}" for bits in (6, 4, 3, 2)),
    "codebook:3,scope=channel",
    "ternary",
)
CALIBRATION_CLIPS = 64
#: What the last columns show the divergence without.
WITHOUT: Mapping[str, PtqSettings] = {
    "nearest rounding": PtqSettings(rounding="nearest"),
    "no bias correction": PtqSettings(bias_correction=False),
}
#: Rows of the README's table.
SHORT = ("float32", "int8", "bitplane 4", "bitplane 3", "grouped 4", "grouped 3", "grouped 2")

#: At these widths both must move the posteriors less than plain ``bitplane``.
LOW_BITS = (2, 3, 4)
BETTER = ("codebook", "grouped")


def write_variants(
    folder: Path, source: Path, audio: CalibrationData, fitting: PtqSettings
) -> list[Path]:
    """The float model, and the same static with every codec."""
    folder.mkdir()
    paths = [source]
    for codec in CODECS:
        settings = QuantizeSettings(compute="static", codec=CodecChoice.parse(codec))
        path = folder / f"{codec.replace(':', ' ')}.onnx"
        quantize_model(source, path, settings, audio, fitting=fitting)
        paths.append(path)
        click.echo(f"{codec}: written", err=True)
    return paths


def divergences(paths: list[Path], corpus: Corpus) -> list[float]:
    """Mean divergence per weighted frame, in nats, from the first model's posteriors."""
    contestants = open_contestants(paths, 1)
    clips = list(iter_clips(contestants, corpus, []))
    references = [contestants[0].model.outputs([clip.inputs[0]])[0] for clip in clips]
    weights = frame_weights(references, DivergenceSettings().weighting)
    totals = np.zeros(len(paths))
    for clip, reference, counts in zip(clips, references, weights, strict=True):
        for index, (contestant, array) in enumerate(zip(contestants, clip.inputs, strict=True)):
            other = contestant.model.outputs([array])[0]
            totals[index] += divergence(reference, other, counts)
    return [float(total) / sum(map(len, references)) for total in totals]


def codec_table(
    paths: list[Path], scores: list[Score], moved: list[float], others: list[list[float]]
) -> str:
    """One row for each codec.

    Args:
        moved: divergence of each file.
        others: the same without what :data:`WITHOUT` names.
    """
    rows = []
    for path, each, *divergence_by_way in zip(paths, scores, moved, *others, strict=True):
        accuracy = each.accuracy
        assert accuracy.levenshtein is not None
        assert accuracy.levenshtein_ci is not None
        low, high = accuracy.levenshtein_ci
        change_low, change_high = each.change_ci
        rows.append(
            [
                each.model,
                f"{total_size(path) / 1e6:.2f}",
                f"{accuracy.levenshtein:.2f} [{low:.2f}, {high:.2f}]",
                f"{accuracy.cer:.1%}",
                "–"
                if each is scores[0]
                else f"{each.change:+.1%} [{change_low:+.1%}, {change_high:+.1%}]",
                *(f"{found:.4f}" for found in divergence_by_way),
            ]
        )
    header = ["codec", "MB", "mean Levenshtein [95 %]", "CER", "change [95 %]"]
    return table([*header, "divergence", *WITHOUT], rows)


def short_table(paths: list[Path], scores: list[Score]) -> str:
    """For the README: the codecs that most people will choose between."""
    base = total_size(paths[0])
    rows = []
    for path, each in zip(paths, scores, strict=True):
        if each.model in SHORT:
            low, high = each.change_ci
            change = f"{each.change:+.1%} [{low:+.1%}, {high:+.1%}]"
            size = total_size(path)
            rows.append(
                [
                    each.model,
                    f"{size / 1e6:.1f}",
                    f"{base / size:.1f}×",
                    "–" if each is scores[0] else change,
                ]
            )
    return table(["codec and bits", "MB", "smaller", "change of edit distance"], rows)


def broken_promises(corpus: str, moved: Mapping[str, float]) -> list[str]:
    """Where a better codec is not better, in words.

    By divergence: with errors compensated, edit distances of codecs with as many bits differ by
    less than a test set of short commands can tell.

    Args:
        moved: divergence by the model's name.
    """
    return [
        f"{corpus}: {name} at {bits} bits moves the posteriors by {moved[f'{name} {bits}']:.4f}, "
        f"bitplane by {moved[f'bitplane {bits}']:.4f}"
        for bits in LOW_BITS
        for name in BETTER
        if moved[f"{name} {bits}"] >= moved[f"bitplane {bits}"]
    ]


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--clips", default=400, show_default=True, help="At most, of each test set.")
@click.option("--decoder", default="greedy", show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(data: Path | None, clips: int, decoder: str, seed: int) -> None:
    """Score every codec on every test set, renew RESULTS.md, and fail if a promise is broken."""
    source = BUILD / "float32.onnx"
    if not source.exists():
        raise click.ClickException(f"{source} is missing: run `make export` first")
    if data is None:
        raise click.UsageError("name the folder of real speech with --data")
    audio = open_corpus(data / "librispeech").select(split="train")
    audio = replace(audio.sample(CALIBRATION_CLIPS, seed), name="LibriSpeech, training speakers")
    wanted = ("LibriSpeech, dev speakers", "speech commands, held-out speakers")
    sets = {name: test_sets(data)[name].sample(clips, seed) for name in wanted}
    parts = [
        "## What each codec costs in accuracy",
        f"`python -m benchmarks.codec_accuracy --data FOLDER`: the shipped model, all layers "
        f"static with the named codec and bits, calibrated on {CALIBRATION_CLIPS} clips of "
        f"{audio.name}; decoder {decoder}. Changes of the mean Levenshtein distance are against "
        f"float32, paired by utterance, with 95 % bootstrap intervals. Divergence: how far the "
        f"posteriors move, in nats per frame (Kullback-Leibler), where frames without blank count "
        f"20 times as much as others; the last columns show it where weights are rounded to the "
        f"nearest levels, and where biases are left as they were. {host()}.",
    ]
    broken: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        heard = CalibrationData(audio, read_info(source))
        paths = write_variants(Path(folder) / "usual", source, heard, PtqSettings())
        others = [
            write_variants(Path(folder) / name, source, heard, fitting)
            for name, fitting in WITHOUT.items()
        ]
        for name, corpus in sets.items():
            click.echo(f"{name}: {len(corpus)} clips", err=True)
            scores = score(paths, corpus, decoder, seed)
            moved = divergences(paths, corpus)
            parts += [
                f"### {name}: {len(corpus)} clips",
                codec_table(paths, scores, moved, [divergences(each, corpus) for each in others]),
            ]
            by_name = {each.model: found for each, found in zip(scores, moved, strict=True)}
            broken += broken_promises(name, by_name)
            if name == wanted[0]:
                replace_section("codecs", short_table(paths, scores), ROOT / "README.md")
    replace_section("codec-accuracy", "\n\n".join(parts))
    click.echo("\n\n".join(parts))
    if broken:
        raise click.ClickException("; ".join(broken))


if __name__ == "__main__":
    main()
