"""What training on their own grids brings back to files of 1 to 3 bits a weight.

Run it from the repository after ``make export``: ``python -m benchmarks.finetune --data FOLDER``,
with ``librispeech/`` in the folder. With the usual 30 minutes for each run it takes five hours; it
renews its section of RESULTS.md.

Each form of the shipped model is quantized after training, taught by the float model without
transcripts, and with them, on LibriSpeech's training speakers; its dev speakers are the test.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from benchmarks.shipped_model import Score, score
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.finetuning.pipeline import FinetuneResult, finetune_model
from quantkit.finetuning.settings import FinetuneSettings
from quantkit.graph.artifact import total_size
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.pipeline import quantize_model
from quantkit.quantization.prepared import PreparedModel

# Clips that ranges and first levels are found from.
_CALIBRATED = 12
SOURCE = ROOT / "build" / "wav2letter-en" / "float32.onnx"
#: Codec of all layers, by what it is called in the table.
FORMS = {"1": "bitplane:1", "1.6": "ternary", "2": "grouped:2", "3": "grouped:3"}


@dataclass(frozen=True)
class Made:
    """One file.

    Args:
        bits: see :data:`FORMS`.
        way: how its numbers were found, in words.
        run: None for one that was not trained.
    """

    bits: str
    way: str
    path: Path
    run: FinetuneResult | None = None


def make_files(
    audio: Corpus, folder: Path, bits: Sequence[str], settings: FinetuneSettings
) -> list[Made]:
    """Each form in each of the three ways."""
    # What clips show of the model, and the weights as they are rounded first, are found once.
    prepared = PreparedModel(SOURCE)
    calibration = CalibrationData(audio.sample(_CALIBRATED), prepared.info, SOURCE)
    made: list[Made] = []
    for form in bits:
        codec = CodecChoice.parse(FORMS[form])
        decisions = QuantizeSettings(compute="static", codec=codec)
        path = folder / f"ptq-{form}.onnx"
        quantize_model(prepared, path, decisions, calibration)
        made.append(Made(form, "after training", path))
        for way, transcripts in (("taught", False), ("taught, with transcripts", True)):
            name = f"{'ctc' if transcripts else 'kl'}-{form}"
            click.echo(name)
            run = finetune_model(
                prepared,
                folder / f"{name}.onnx",
                decisions,
                audio,
                calibration,
                folder / name,
                settings,
                transcripts=transcripts,
                # A long study goes on where it was interrupted.
                resume=True,
                on_step=lambda step: _say(step.step, step.loss, step.divergence),
            )
            made.append(Made(form, way, run.path, run))
    return made


def _say(step: int, loss: float, divergence: float | None) -> None:
    if divergence is not None:
        click.echo(f"  step {step}: loss {loss:.4f}, divergence {divergence:.4f}")


def report(
    made: Sequence[Made],
    scores: Sequence[Score],
    settings: FinetuneSettings,
    audio: Corpus,
    tested: int,
) -> str:
    """The section; the first of ``scores`` is float32's."""
    rows = [_row("32", "float32", SOURCE, None, scores[0])]
    for each, found in zip(made, scores[1:], strict=True):
        rows.append(_row(each.bits, each.way, each.path, each.run, found))
    header = [
        *("bits", "numbers found", "MB", "CER [95 %]", "change of edits [95 %]"),
        *("nats per frame, before", "after", "steps"),
    ]
    hours = sum(each.seconds for each in audio) / 3600
    return f"""## Training on the grids of the file

`python -m benchmarks.finetune`: the shipped model with all layers static and all weights of one
codec ({", ".join(f"{bits}: `{codec}`" for bits, codec in FORMS.items())}), quantized after
training, and trained on its grids as `quantkit finetune` does it, on {len(audio)} clips
({hours:.1f} h) of LibriSpeech's training speakers, in batches of {settings.batch_seconds:g} s, for
{settings.minutes:g} minutes{f" or {settings.steps} steps" if settings.steps else ""} each. Edits
are of {tested} clips of its dev speakers, decoded greedily; divergences are of clips that were held
out of the training. Host: {host()}.

{table(header, rows)}
"""


def _row(bits: str, way: str, path: Path, run: FinetuneResult | None, found: Score) -> list[str]:
    accuracy = found.accuracy
    cer, ci = accuracy.cer or 0.0, accuracy.cer_ci or (0.0, 0.0)
    low, high = found.change_ci
    cells = [bits, way, f"{total_size(path) / 1e6:.2f}"]
    cells.append(f"{cer:.1%} [{ci[0]:.1%}, {ci[1]:.1%}]")
    cells.append("–" if way == "float32" else f"{found.change:+.1%} [{low:+.1%}, {high:+.1%}]")
    if run is None:
        return [*cells, "", "", ""]
    return [*cells, f"{run.divergence_before:.4f}", f"{run.divergence:.4f}", str(run.steps)]


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--minutes", type=float, default=30.0, show_default=True, help="Of each run.")
@click.option("--batch-seconds", type=float, default=60.0, show_default=True)
@click.option("--bits", multiple=True, type=click.Choice(list(FORMS)), help="Default: all.")
@click.option("--steps", type=int, help="End each run after so many, if earlier.")
@click.option("--clips", type=int, default=10_000, help="Of the training speakers, at most.")
@click.option("--max-seconds", type=float, default=60.0, help="Of a training clip.")
@click.option("--test-clips", type=int, default=10_000, help="Of the dev speakers, at most.")
@click.option(
    "--work", type=click.Path(path_type=Path), help="Folder for the files, which then stay."
)
@click.option("--print-only", is_flag=True, help="Leave RESULTS.md as it is.")
def main(
    data: Path,
    minutes: float,
    batch_seconds: float,
    bits: tuple[str, ...],
    steps: int | None,
    clips: int,
    max_seconds: float,
    test_clips: int,
    work: Path | None,
    print_only: bool,
) -> None:
    """Train, compare, and renew the section."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    corpus = open_corpus(data / "librispeech")
    audio = corpus.select(split="train", max_seconds=max_seconds).sample(clips)
    dev = corpus.select(split="dev").sample(test_clips)
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        settings = FinetuneSettings(minutes=minutes, steps=steps, batch_seconds=batch_seconds)
        made = make_files(audio, folder, bits or tuple(FORMS), settings)
        paths = [SOURCE, *(each.path for each in made)]
        scores = score(paths, dev, "greedy", 0)
    section = report(made, scores, settings, audio, len(dev))
    click.echo(section)
    if not print_only:
        replace_section("finetune", section)


if __name__ == "__main__":
    main()
