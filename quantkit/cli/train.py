"""``quantkit train``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quantkit.api.train import TrainListener, train
from quantkit.cli.framework import Argument, Command, OutputFolder, begin_work, echo
from quantkit.cli.progress import Tell, progress_bar
from quantkit.cli.streams import echo_json
from quantkit.errors import InputError
from quantkit.report.left_out import left_out_in_words

if TYPE_CHECKING:
    from quantkit.training.run import Progress as TrainingProgress


@click.command(
    name="train", cls=Command, first=("resume", "steps", "threads", "device"), dry_run=True
)
@click.argument(
    "recipe", cls=Argument, may_name_file=True, help="A TOML file, or the name of a preset."
)
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
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    recipe: str,
    data: tuple[str, ...],
    output: Path,
    resume: bool,
    start_from: Path | None,
    steps: int | None,
    threads: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Train a Wav2Letter with CTC or ASG, a wav2vec 2.0, a transducer, or a keyword spotter.

    RECIPE is a TOML file or one of the presets published-hw4p2, published-hw3p2 and small. One
    with task = "rnnt" or "tdt" trains a transducer, one with task = "wav2vec2" a wav2vec 2.0, one
    with task = "classification" a keyword spotter.

    \b
    Example:
      quantkit train small --data corpus=my_corpus -o runs/first
      quantkit train models/wav2letter-en/recipe.toml --data build/speech -o runs/en --resume
      quantkit train models/transducer-en/recipe.toml --data build/speech -o runs/transducer
      quantkit train models/wav2vec2-en/recipe.toml --data build/speech -o runs/wav2vec2
      quantkit train models/keywords-en/recipe.toml --data build/speech -o runs/keywords
    """
    sources: dict[str, Path] = {}
    for name, equals, folder in (each.partition("=") for each in data):
        if not equals and "" in sources:
            raise InputError("--data names more than one folder without SOURCE=")
        sources[name if equals else ""] = Path(folder if equals else name)
    with progress_bar("decoding") as tell:
        made = train(
            recipe,
            sources,
            output,
            resume=resume,
            start_from=start_from,
            steps=steps,
            threads=threads,
            device=device,
            begin=begin_work,
            listener=_listener(tell),
        )
    if as_json:
        echo_json(made.to_dict())
        return
    echo(f"best validation {made.measure} {made.best:.2%}: {made.path}")


def _listener(tell: Tell) -> TrainListener:
    """A bar for the work at hand, and a line for each validation."""

    def resumed(step: int, measure: str, best: float) -> None:
        echo(f"resuming at step {step}, best {measure} {best:.2%}", err=True)

    def show(progress: TrainingProgress) -> None:
        tell.count("training", progress.step, progress.steps, f"loss {progress.loss:.3f}")
        if progress.score:
            echo(
                f"step {progress.step}: loss {progress.loss:.3f}, "
                f"{progress.audio_seconds_per_second:.0f} s/s, {progress.score.summary}",
                err=True,
            )

    return TrainListener(
        on_decoding=lambda done, total: tell.count("decoding", done, total),
        on_skipped=_name_skipped,
        on_resumed=resumed,
        on_step=show,
    )


def _name_skipped(source: str, reasons: Sequence[str]) -> None:
    echo(f"{source}: {left_out_in_words(reasons)}", err=True)
