"""``quantkit train``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quantkit.cli.framework import Argument, Command, OutputFolder, begin_work
from quantkit.cli.progress import progress_bar
from quantkit.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from quantkit.training.run import Progress as TrainingProgress


@click.command(
    name="train", cls=Command, first=("resume", "steps", "threads", "device"), dry_run=True
)
@click.argument("recipe", cls=Argument, help="A TOML file, or the name of a preset.")
@click.option(
    "--data",
    multiple=True,
    required=True,
    metavar="[SOURCE=]FOLDER",
    help="Folder that holds the recipe's sources, or one source's own folder. Repeatable.",
)
@click.option(
    "-o",
    "--output",
    type=OutputFolder(),
    metavar="FOLDER",
    required=True,
    help="Folder of the run: best/, last.pt, history.json and the decoded audio.",
)
@click.option("--resume", is_flag=True, help="Go on from the run's last.pt.")
@click.option(
    "--start-from",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Checkpoint whose weights to begin with.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Instead of the recipe's.")
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="CPU threads; 0 takes all cores.",
)
@click.option("--device", help="cpu, cuda, … [default: the GPU if there is one]")
def command(
    recipe: str,
    data: tuple[str, ...],
    output: Path,
    resume: bool,
    start_from: Path | None,
    steps: int | None,
    threads: int,
    device: str | None,
) -> None:
    """Train a Wav2Letter with CTC, or a keyword spotter.

    RECIPE is a TOML file or one of the presets published-hw4p2, published-hw3p2 and small. One
    with task = "classification" trains a keyword spotter.

    \b
    Example:
      quantkit train small --data corpus=my_corpus -o runs/first
      quantkit train models/wav2letter-en/recipe.toml --data build/speech -o runs/en --resume
      quantkit train models/keywords-en/recipe.toml --data build/speech -o runs/keywords
    """
    try:
        import torch

        from quantkit.training.launch import find_recipe, prepare_run
        from quantkit.training.run import holds_earlier_run
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"training needs {error.name}: pip install 'quantkit[export]'"
        ) from error
    if not resume and holds_earlier_run(output):
        raise InputError(
            f"{output} holds an earlier run: add --resume to go on, or choose another folder"
        )
    settings = find_recipe(recipe)
    if steps:
        settings = dataclasses.replace(settings, steps=steps)
    if threads:
        torch.set_num_threads(threads)
    try:
        target = torch.device(device) if device else None
        # The name alone says nothing: the device may be absent, or this build without it. Reading
        # the value back finds devices that hold no values, such as "meta".
        torch.zeros(1, device=target).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"cannot train on device {device!r}: {reason}") from error
    folders = {k: Path(v) for k, _, v in (d.partition("=") for d in data if "=" in d)}
    roots = [Path(d) for d in data if "=" not in d]
    if len(roots) > 1:
        raise InputError("--data names more than one folder without SOURCE=")
    begin_work(f"train for {settings.steps:,} steps on {', '.join(data)}")
    with progress_bar("decoding") as tell:
        trainer = prepare_run(
            settings,
            output,
            start_from=start_from,
            root=roots[0] if roots else None,
            folders=folders,
            device=target,
            on_decoding=lambda done, total: tell.count("decoding", done, total),
            on_skipped=_name_skipped,
        )
    if resume and trainer.resume():
        best_so_far = f"best {trainer.measure} {trainer.best:.2%}"
        click.echo(f"resuming at step {trainer.step}, {best_so_far}", err=True)
    with progress_bar("training") as tell:

        def show(progress: TrainingProgress) -> None:
            tell.count("training", progress.step, settings.steps, f"loss {progress.loss:.3f}")
            if progress.score:
                click.echo(
                    f"step {progress.step}: loss {progress.loss:.3f}, "
                    f"{progress.audio_seconds_per_second:.0f} s/s, {progress.score.summary}",
                    err=True,
                )

        best = trainer.run(show)
    click.echo(f"best validation {trainer.measure} {best:.2%}: {output / 'best'}")


def _name_skipped(source: str, reasons: Sequence[str]) -> None:
    clips = "1 clip is" if len(reasons) == 1 else f"{len(reasons)} clips are"
    first = " ".join(reasons[0].split())
    click.echo(f"{source}: {clips} not used; the first: {first}", err=True)
