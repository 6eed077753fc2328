"""What training on their own grids brings back to files of 1 to 3 bits a weight.

Run it from the repository after ``make export``: ``python -m benchmarks.finetune --data FOLDER``,
with ``librispeech/`` in the folder. With the usual 30 minutes for each run it takes five hours; it
renews its section of RESULTS.md.

Each form of the shipped model is quantized after training, taught by the float model without
transcripts, and with them, on LibriSpeech's training speakers; its dev speakers are the test.
``--schedules`` compares ways to the levels of binary weights and powers of two instead, and
``--structures`` trains pruned layers and layers of lower rank.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import click

from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from benchmarks.shipped_model import Score, score
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.finetuning.names import ScheduleName
from quantkit.finetuning.pipeline import FinetuneResult, finetune_model
from quantkit.finetuning.settings import FinetuneSettings
from quantkit.graph.artifact import total_size
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.choices.structure_rules import RankRule
from quantkit.quantization.pipeline import quantize_model
from quantkit.quantization.prepared import PreparedModel

SOURCE = ROOT / "build" / "wav2letter-en" / "float32.onnx"
#: Codec of all layers, by what it is called in the table.
FORMS = {
    "1": "bitplane:1",
    "1.2": "rice:1.2",
    "1.5": "rice:1.5",
    "1.6": "ternary",
    "2": "grouped:2",
    "3": "grouped:3",
}
#: Codec and ranks of all layers, likewise.
STRUCTURES: dict[str, tuple[str, tuple[str, ...]]] = {
    "8, ranks 3/8": ("int8", ("*=3/8",)),
    "8, half kept": ("sparse:8,keep=50", ()),
    "4, half kept": ("sparse:4,keep=50", ()),
}
#: Likewise, and the schedules that are compared.
SCHEDULED: dict[str, tuple[str, tuple[ScheduleName, ...]]] = {
    "1": ("binary", ("together", "binary-connect", "stochastic")),
    "1.1": ("binary,group_size=64", ("binary-connect",)),
    "3": ("powers:3", ("together", "incremental")),
    "4": ("powers:4", ("together", "incremental")),
}
#: What is trained with transcripts, too, among these: a form and its schedule.
WITH_TRANSCRIPTS: dict[str, ScheduleName] = {"1": "binary-connect"}
#: Learning rate of each form, where a run may not name one: the closer the levels of a codec lie,
#: the smaller the steps that lead from one to the next.
RATES = {
    "1": 1e-2,
    "1.1": 1e-2,
    "1.2": 5e-3,
    "1.5": 5e-3,
    "1.6": 5e-3,
    "2": 3e-3,
    "3": 1.5e-3,
    "4": 1e-3,
    **dict.fromkeys(STRUCTURES, 1e-3),
}


@dataclass(frozen=True)
class Trial:
    """One way to train a form.

    Args:
        way: in words.
        folder: of the run, beside the files.
    """

    way: str
    folder: str
    transcripts: bool = False
    schedule: ScheduleName = "together"


@dataclass(frozen=True)
class Form:
    """What all layers are, and how they are trained."""

    codec: str
    trials: Sequence[Trial]
    ranks: tuple[str, ...] = ()

    @property
    def settings(self) -> QuantizeSettings:
        ranks = tuple(map(RankRule.parse, self.ranks))
        return QuantizeSettings(compute="static", codec=CodecChoice.parse(self.codec), ranks=ranks)


@dataclass(frozen=True)
class Made:
    """One file.

    Args:
        bits: see :data:`FORMS`, :data:`SCHEDULED` and :data:`STRUCTURES`.
        way: how its numbers were found, in words.
        run: None for one that was not trained.
    """

    bits: str
    way: str
    path: Path
    run: FinetuneResult | None = None


def make_files(
    audio: Corpus,
    folder: Path,
    forms: Mapping[str, Form],
    settings: FinetuneSettings,
    calibrated: int,
    rates: Mapping[str, float],
) -> list[Made]:
    """Each form as it is after training, and in each of its ways.

    Args:
        calibrated: clips that ranges and first levels are found from.
        rates: learning rate of each form.
    """
    # What clips show of the model, and the weights as they are rounded first, are found once.
    prepared = PreparedModel(SOURCE)
    calibration = CalibrationData(audio.sample(calibrated), prepared.info, SOURCE)
    made: list[Made] = []
    for name, form in forms.items():
        path = folder / f"ptq-{_as_file(name)}.onnx"
        quantize_model(prepared, path, form.settings, calibration)
        made.append(Made(name, "after training", path))
        for trial in form.trials:
            click.echo(trial.folder)
            run = finetune_model(
                prepared,
                folder / f"{trial.folder}.onnx",
                form.settings,
                audio,
                calibration,
                folder / trial.folder,
                replace(settings, schedule=trial.schedule, learning_rate=rates[name]),
                transcripts=trial.transcripts,
                # A long study goes on where it was interrupted.
                resume=True,
                on_step=lambda step: _say(step.step, step.loss, step.divergence),
            )
            made.append(Made(name, trial.way, run.path, run))
    return made


def taught_forms(bits: Sequence[str]) -> dict[str, Form]:
    """Without transcripts and with them."""
    return {form: Form(FORMS[form], _taught(form)) for form in bits}


def structured_forms(bits: Sequence[str]) -> dict[str, Form]:
    """Likewise."""
    forms = {}
    for name in bits:
        codec, ranks = STRUCTURES[name]
        forms[name] = Form(codec, _taught(_as_file(name)), ranks)
    return forms


def _taught(name: str) -> list[Trial]:
    return [
        Trial("taught", f"kl-{name}"),
        Trial("taught, with transcripts", f"ctc-{name}", transcripts=True),
    ]


def _as_file(name: str) -> str:
    return re.sub("[^0-9a-z.]+", "-", name)


def scheduled_forms(bits: Sequence[str]) -> dict[str, Form]:
    """By each schedule without transcripts, and by some with them."""
    forms = {}
    for form in bits:
        codec, schedules = SCHEDULED[form]
        trials = [Trial(f"`{s}`", f"{s}-{form}", schedule=s) for s in schedules]
        if told := WITH_TRANSCRIPTS.get(form):
            way, folder = f"`{told}`, with transcripts", f"{told}-{form}-ctc"
            trials.append(Trial(way, folder, transcripts=True, schedule=told))
        forms[form] = Form(codec, trials)
    return forms


_FORMS_OF = {
    "finetune": taught_forms,
    "finetune-schedules": scheduled_forms,
    "finetune-structures": structured_forms,
}


def _say(step: int, loss: float, divergence: float | None) -> None:
    if divergence is not None:
        click.echo(f"  step {step}: loss {loss:.4f}, divergence {divergence:.4f}")


Kind = Literal["finetune", "finetune-schedules", "finetune-structures"]

#: By name of the section: its title, the option of the script, and how models are trained.
_TITLES: dict[Kind, tuple[str, str, str]] = {
    "finetune": ("Training on the grids of the file", "", "as `quantkit finetune` does it"),
    "finetune-schedules": (
        *("Ways to the levels of a file", " --schedules"),
        "by schedules of `quantkit finetune`",
    ),
    "finetune-structures": (
        *("Training pruned layers and layers of lower rank", " --structures"),
        "as `quantkit finetune` does it",
    ),
}


def _codecs(kind: Kind) -> Iterator[tuple[str, str]]:
    """Of all layers, by what a form is called."""
    if kind == "finetune":
        yield from FORMS.items()
    elif kind == "finetune-schedules":
        for name, (codec, _) in SCHEDULED.items():
            yield name, codec
    else:
        for name, (codec, ranks) in STRUCTURES.items():
            yield name, " ".join([codec, *(f"--rank {each}" for each in ranks)])


def report(
    made: Sequence[Made],
    scores: Sequence[Score],
    settings: FinetuneSettings,
    audio: Corpus,
    tested: int,
    *,
    calibrated: int,
    rates: Mapping[str, float],
    kind: Kind = "finetune",
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
    title, option, what = _TITLES[kind]
    codecs = dict(_codecs(kind))
    trained = [bits for bits in codecs if any(each.bits == bits for each in made)]
    told = ", ".join(f"{rates[bits]:g} ({bits})" for bits in trained)
    length = f"{settings.minutes:g} minutes"
    if settings.steps:
        length += f" or {settings.steps} steps"
    return f"""## {title}

`python -m benchmarks.finetune{option}`: the shipped model with all layers static and all weights
of one codec ({", ".join(f"{bits}: `{codecs[bits]}`" for bits in trained)}), quantized after
training on {calibrated} clips, and trained on its grids {what} on {len(audio)} clips
({hours:.1f} h) of LibriSpeech's training speakers, in batches of {settings.batch_seconds:g} s, for
{length} each, at learning rates of {told}. Edits
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
@click.option(
    "--bits",
    multiple=True,
    type=click.Choice(dict.fromkeys([*FORMS, *SCHEDULED, *STRUCTURES])),
    help="Default: all.",
)
@click.option("--schedules", "kind", flag_value="finetune-schedules", help="Compare schedules.")
@click.option(
    "--structures", "kind", flag_value="finetune-structures", help="Pruned, and of lower rank."
)
@click.option("--learning-rate", type=float, help="Of all; default: one for each codec.")
@click.option("--calibrated", default=48, show_default=True, help="Clips to calibrate on.")
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
    kind: Kind | None,
    learning_rate: float | None,
    calibrated: int,
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
        rates = {bits: learning_rate or rate for bits, rate in RATES.items()}
        kind = kind or "finetune"
        known = [name for name, _ in _codecs(kind)]
        if unknown := sorted(set(bits) - set(known)):
            raise click.UsageError(f"--bits {unknown[0]!r} is not one of {', '.join(known)}")
        forms = _FORMS_OF[kind](bits or known)
        made = make_files(audio, folder, forms, settings, calibrated, rates)
        paths = [SOURCE, *(each.path for each in made)]
        scores = score(paths, dev, "greedy", 0)
    section = report(
        made,
        scores,
        settings,
        audio,
        len(dev),
        calibrated=calibrated,
        rates=rates,
        kind=kind,
    )
    click.echo(section)
    if not print_only:
        replace_section(kind, section)


if __name__ == "__main__":
    main()
