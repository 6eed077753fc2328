"""``quantkit finetune``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quantkit.api.defaults import FINETUNE_CLIPS, TRAINING_SPLIT
from quantkit.api.finetune import finetune
from quantkit.cli.audio_options import AudioOptions, audio_options, name_left_out
from quantkit.cli.framework import (
    Argument,
    Command,
    OutputFile,
    OutputFolder,
    begin_work,
    echo,
)
from quantkit.cli.interface_options import keep_interface_option
from quantkit.cli.layer_options import (
    LayerOptions,
    base_settings,
    layer_options,
    preset_option,
    refuse_layer_options,
)
from quantkit.cli.progress import Tell, progress_bar
from quantkit.cli.streams import echo_json
from quantkit.finetuning.names import SCHEDULES, ScheduleName

if TYPE_CHECKING:
    from quantkit.finetuning.loop import FinetuneProgress


@click.command(
    name="finetune",
    cls=Command,
    first=(
        "plan_file",
        "preset",
        "audio",
        "transcripts",
        "schedule",
        "minutes",
        "resume",
        "threads",
    ),
    one_of=("plan_file", "preset", "compute"),
    dry_run=True,
)
@click.argument(
    "model",
    cls=Argument,
    type=click.Path(path_type=Path),
    help="A float32 .onnx, or a checkpoint that `quantkit export` takes.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=OutputFile(".onnx"),
    metavar="FILE",
    help="The .onnx to write.",
)
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What `quantkit plan` wrote, or the same edited by hand.",
)
@preset_option()
@layer_options
@audio_options(
    " to train on",
    required=True,
    verb="Train on",
    clips=FINETUNE_CLIPS,
    split=TRAINING_SPLIT,
)
@click.option("--transcripts", is_flag=True, help="Learn the clips' transcripts, too.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="How long to train; calibration and writing come on top.",
)
@click.option("--steps", type=click.IntRange(min=1), help="End after so many steps, if earlier.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=1e-2,
    show_default=True,
    metavar="SHARE",
    help="Of weights: largest step as a share of their channel's root mean square.",
)
@click.option(
    "--schedule",
    type=click.Choice(SCHEDULES),
    default="together",
    show_default=True,
    help=(
        "How weights get to their levels: all together in every step; incremental, where half "
        "of them are fixed and the rest makes up for it, then half of the rest, and so on; "
        "binary-connect, clipped to the range of the levels; stochastic, which draws levels, too."
    ),
)
@click.option(
    "--run",
    "folder",
    type=OutputFolder(),
    metavar="FOLDER",
    help="For last.pt and history.json.  [default: the output's name with .finetune]",
)
@click.option("--resume", is_flag=True, help="Go on from the run's last.pt.")
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="CPU threads; 0 takes all cores.",
)
@keep_interface_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    model: Path,
    output: Path,
    plan_file: Path | None,
    preset: str | None,
    layers: LayerOptions,
    audio: AudioOptions,
    transcripts: bool,
    minutes: float,
    steps: int | None,
    learning_rate: float,
    schedule: ScheduleName,
    folder: Path | None,
    resume: bool,
    threads: int,
    keep_interface: bool | None,
    as_json: bool,
) -> None:
    """Quantize MODEL and let the float model teach the result, on audio without transcripts.

    For weights of few bits, where rounding alone costs too much. Needs PyTorch.

    \b
    Example:
      quantkit finetune float32.onnx --plan plan.json --audio recordings -o tuned.onnx
      quantkit finetune models/wav2letter-en --compute static --codec ternary \\
        --audio librispeech --transcripts --minutes 60 -o ternary.onnx
    """
    if sum(choice is not None for choice in (plan_file, preset, layers.compute)) != 1:
        raise click.UsageError("give one of --plan, --preset and --compute")
    if plan_file is not None:
        refuse_layer_options("the plan says it; edit the plan, or make another with quantkit plan")
    from quantkit.finetuning.settings import FinetuneSettings

    with progress_bar("calibrating") as tell:
        made = finetune(
            model,
            output,
            plan_file or layers.adjusted(base_settings(preset)),
            audio.required,
            selection=audio.chosen,
            transcripts=transcripts,
            settings=FinetuneSettings(
                minutes=minutes, steps=steps, learning_rate=learning_rate, schedule=schedule
            ),
            folder=folder,
            resume=resume,
            threads=threads,
            keep_interface=keep_interface,
            begin=begin_work,
            progress=tell,
            on_step=_shown(tell),
            on_resumed=_resumed,
        )
    if as_json:
        echo_json(made.to_dict())
        return
    name_left_out(made.skipped)
    echo(
        f"{made.path}: {made.size_bytes / 1e6:.1f} MB, {made.lint.summary()}; divergence "
        f"{made.divergence_before:.4f} -> {made.divergence:.4f} nats per frame after "
        f"{made.steps:,} steps in {made.minutes:.0f} min on {made.clips:,} clips"
    )


def _shown(tell: Tell) -> Callable[[FinetuneProgress], None]:
    def show(step: FinetuneProgress) -> None:
        tell("training", step.share)
        if step.divergence is not None:
            echo(
                f"step {step.step}: loss {step.loss:.4f}, divergence {step.divergence:.4f}",
                err=True,
            )

    return show


def _resumed(step: int, minutes: float) -> None:
    echo(f"resuming at step {step}, after {minutes:.0f} min", err=True)
