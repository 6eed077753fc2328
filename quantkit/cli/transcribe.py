"""``quantkit transcribe``: audio files become text."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from quantkit.cli.decoder_options import decoder_options, pop_decoding
from quantkit.cli.framework import Argument, Command
from quantkit.cli.progress import progress_bar
from quantkit.runtime.transcriber import Transcript, transcribe
from quantkit.tasks.open import open_speech_model


@click.command(
    name="transcribe",
    cls=Command,
    first=("language", "decoder", "timestamps", "threads", "as_json"),
)
@click.argument("model", cls=Argument, type=click.Path(path_type=Path), help="The .onnx.")
@click.argument(
    "clips",
    cls=Argument,
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    help="Audio files.",
)
@decoder_options(default="greedy")
@click.option("--language", help="Whisper: what is spoken, such as de.  [default: it finds out]")
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
    language: str | None,
    threads: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Transcribe CLIPS (WAV, FLAC, Ogg/Opus or MP3, any sample rate) with MODEL.

    \b
    Example:
      quantkit transcribe build/wav2letter-en/static-int8.onnx clip.wav
      quantkit transcribe model.onnx one.flac two.mp3 --decoder beam --json
      quantkit transcribe model.onnx clip.wav --decoder beam --language-model words.arpa
      quantkit transcribe whisper-base.onnx anruf.wav --language de --timestamps --json
    """
    decoding = pop_decoding(options, (language,) if language else ())
    speech_model = open_speech_model(model, threads, decoding=decoding)
    for transcript in _told(transcribe(speech_model, clips), len(clips)):
        if as_json:
            line: dict[str, Any] = {
                "path": str(transcript.path),
                "text": transcript.text,
                "seconds": round(transcript.seconds, 3),
                "compute_seconds": round(transcript.compute_seconds, 4),
            }
            if transcript.language:
                line["language"] = transcript.language
            if transcript.segments:
                line["segments"] = [asdict(segment) for segment in transcript.segments]
            click.echo(json.dumps(line, ensure_ascii=False))
        elif len(clips) == 1:
            click.echo(transcript.text)
        else:
            click.echo(f"{transcript.path}: {transcript.text}")


def _told(transcripts: Iterator[Transcript], total: int) -> Iterator[Transcript]:
    """The same, with progress; the lines in a terminal are progress enough."""
    if sys.stdout.isatty() or total == 1:
        yield from transcripts
        return
    with progress_bar("transcribing") as tell:
        for done, transcript in enumerate(transcripts, start=1):
            yield transcript
            tell.count("transcribing", done, total)
