"""``quantkit transcribe``: audio files become text."""

from __future__ import annotations

import json
from pathlib import Path

import click

from quantkit.cli.decoder_options import decoder_options
from quantkit.runtime.recognizer import Recognizer
from quantkit.runtime.transcriber import transcribe
from quantkit.text.decoders import decoder_named


@click.command(name="transcribe")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@decoder_options(default="greedy")
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Threads per operator; 0 takes all cores.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per clip and line.")
def command(
    model: Path,
    clips: tuple[Path, ...],
    decoder: str,
    beam_width: int,
    language_model: Path | None,
    lm_weight: float,
    threads: int,
    as_json: bool,
) -> None:
    """Transcribe CLIPS (WAV, FLAC, Ogg/Opus or MP3, any sample rate) with MODEL.

    \b
    Example:
      quantkit transcribe build/wav2letter-en/static-int8.onnx clip.wav
      quantkit transcribe model.onnx one.flac two.mp3 --decoder beam --json
      quantkit transcribe model.onnx clip.wav --decoder beam --language-model words.arpa
    """
    recognizer = Recognizer.load(model, threads)
    decode = decoder_named(
        decoder,
        recognizer.labels,
        width=beam_width,
        language_model=language_model,
        lm_weight=lm_weight,
    )
    for transcript in transcribe(recognizer, clips, decode):
        if as_json:
            line = {
                "path": str(transcript.path),
                "text": transcript.text,
                "seconds": round(transcript.seconds, 3),
                "compute_seconds": round(transcript.compute_seconds, 4),
            }
            click.echo(json.dumps(line, ensure_ascii=False))
        elif len(clips) == 1:
            click.echo(transcript.text)
        else:
            click.echo(f"{transcript.path}: {transcript.text}")
