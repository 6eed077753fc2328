"""``quantkit export``: a PyTorch checkpoint becomes a float32 artifact."""

from __future__ import annotations

import re
from pathlib import Path

import click

from quantkit.api.export import FRONTENDS, TASKS, export
from quantkit.api.inputs import chunk_seconds, window_seconds
from quantkit.cli.framework import Argument, Command, OutputFile, begin_work, echo
from quantkit.cli.progress import progress_bar
from quantkit.cli.streams import echo_json


class _Export(Command):
    """Beside ``-o``, ``--output`` names an output of the model, as other tools have it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if any(re.match(r"-o", each) for each in args):
            args = [re.sub(r"^--output(?==|$)", "--output-name", each) for each in args]
        return super().parse_args(ctx, args)


@click.command(
    name="export",
    cls=_Export,
    first=("with_frontend", "streaming", "chunk", "name", "labels", "task", "frontend", "as_json"),
    dry_run=True,
)
@click.argument(
    "source",
    cls=Argument,
    metavar="MODEL",
    may_name_file=True,
    help="Folder or file of a checkpoint, a name on the Hugging Face hub, or an .onnx.",
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
    "--with-frontend",
    is_flag=True,
    help="Take waveforms: put the front end in front of the model as ONNX operators.",
)
@click.option(
    "--opset",
    type=click.IntRange(18, 23),
    help="ONNX operator set; 18, the default, loads in ONNX Runtime 1.15 and later.",
)
@click.option("--name", default="", help="Model name in the metadata; default: the model's own.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Of an .onnx: what its outputs stand for: a file of labels, a tokenizer, or its folder.",
)
@click.option(
    "--task",
    type=click.Choice(TASKS),
    help="Of an .onnx: whether it writes text or tells classes apart.",
)
@click.option("--sample-rate", type=click.IntRange(1), help="Of an .onnx; default: 16000.")
@click.option("--blank", type=click.IntRange(0), help="Of an .onnx: index of the CTC blank.")
@click.option(
    "--normalize",
    is_flag=True,
    help="Of an .onnx: give it clips of mean 0 and variance 1, as feature extractors do.",
)
@click.option(
    "--frontend",
    type=click.Choice(FRONTENDS),
    metavar="NAME",
    help=f"Of an .onnx that takes features: what makes them: {', '.join(FRONTENDS)}.",
)
@click.option(
    "--output-name",
    default="",
    metavar="NAME",
    help="Of an .onnx: the output that holds the posteriors; beside -o also --output NAME.",
)
@click.option(
    "--language",
    default="",
    metavar="CODE",
    help="Of a model with an adapter for each language, as MMS is: which one; default: its own.",
)
@click.option(
    "--window",
    default="auto",
    show_default=True,
    metavar="auto|full|SECONDS",
    help="Of a Whisper: what the artifact computes for a clip: 30 seconds (full, auto), or the "
    "clip and so many seconds of silence.",
)
@click.option(
    "--streaming",
    is_flag=True,
    help="Of a Wav2Letter or a Nemotron streaming: hear chunk by chunk, with what is needed of the "
    "chunks before as states.",
)
@click.option(
    "--chunk",
    metavar="TIME",
    help="With --streaming: what is heard at a time, such as 320ms or 0.32s; of a Nemotron one of "
    "those that it was trained with.  [default: 320ms]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    source: str,
    output: Path,
    with_frontend: bool,
    opset: int | None,
    name: str,
    labels: Path | None,
    task: str | None,
    sample_rate: int | None,
    blank: int | None,
    normalize: bool,
    frontend: str | None,
    output_name: str,
    language: str,
    window: str,
    streaming: bool,
    chunk: str | None,
    as_json: bool,
) -> None:
    """Export MODEL: a Wav2Letter checkpoint (a folder, or a .pt or .safetensors file beside its
    config.json), a folder of transformers or its name on the Hugging Face hub, a LoRA adapter of
    PEFT, a Whisper in the format of CTranslate2 (faster-whisper) or of OpenAI (.pt), or somebody's
    .onnx. A Whisper is two files.

    The file is written only after ONNX Runtime has given the model's own numbers on batches of
    several sizes and lengths.

    \b
    Example:
      quantkit export models/wav2letter-en -o build/wav2letter-en/float32.onnx
      quantkit export models/wav2letter-en -o waveform.onnx --with-frontend
      quantkit export models/wav2letter-en -o stream.onnx --streaming --chunk 320ms
      quantkit export facebook/wav2vec2-base-960h -o wav2vec2.onnx
      quantkit export openai/whisper-base -o whisper-base.onnx
      quantkit export theirs.onnx --labels labels.txt --task ctc -o ours.onnx
      quantkit export nemo.onnx --labels labels.txt --task ctc --frontend nemo-80 -o ours.onnx
    """
    begin_work(f"export {source} and compare ONNX Runtime's numbers with its own")
    with progress_bar("exporting"):
        made = export(
            source,
            output,
            with_frontend=with_frontend,
            opset=opset,
            name=name,
            labels=labels,
            task=task or "",
            sample_rate=sample_rate,
            blank=blank,
            normalize=normalize,
            frontend=frontend or "",
            output_name=output_name,
            language=language,
            window=window_seconds(window),
            chunk=chunk_seconds(streaming, chunk),
        )
    if as_json:
        echo_json(made.to_dict())
        return
    parity = made.parity
    echo(
        f"{output}: {made.size_bytes / 1e6:.1f} MB, opset {made.opset}; ONNX Runtime agrees with "
        f"{parity.reference} to {parity.worst.difference:.1e} in {len(parity.cases)} batches"
    )
    for note in parity.notes:
        echo(f"  {note}", err=True)
