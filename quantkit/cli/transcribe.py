"""``quantkit transcribe``: audio files become text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from quantkit.api.load import load
from quantkit.api.transcript_files import FORMS, file_names, write_transcript
from quantkit.cli.decoder_options import DecoderOptions, decoder_options
from quantkit.cli.framework import Argument, Command, OutputFolder, begin_work, echo
from quantkit.cli.progress import progress_bar
from quantkit.cli.streams import echo_json
from quantkit.errors import AudioError, InputError, ModelError
from quantkit.printable import printable
from quantkit.runtime.transcriber import Partial, Transcript
from quantkit.text.captions import CAPTION_FORMS


@click.command(
    name="transcribe",
    cls=Command,
    dry_run=True,
    first=("language", "decoder", "words", "vad", "stream", "form", "output", "threads", "as_json"),
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
@click.option(
    "--language",
    help="What is spoken, such as de.  [default: Whisper finds out, Canary takes English]",
)
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Threads per operator; 0 takes all cores.",
)
@click.option(
    "--words",
    is_flag=True,
    help="Find when each word was said, and how sure the model is of it; for JSON and subtitles.",
)
@click.option(
    "--vad",
    is_flag=True,
    help="Cut recordings at pauses and hear only speech, found by Silero's detector (extra vad).",
)
@click.option(
    "--stream",
    is_flag=True,
    help="Hear each clip as if it were spoken now, and print what was said so far whenever it "
    "changes; for models that hear in chunks.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMS]),
    help="Of what is printed or written; srt, vtt and tsv have times.  [default: text]",
)
@click.option(
    "-o",
    "--output",
    type=OutputFolder(),
    metavar="FOLDER",
    help="Write a file for each clip there, called like the clip, instead of printing its text.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per clip and line.")
def command(
    model: Path,
    clips: tuple[Path, ...],
    decoder: DecoderOptions,
    language: str | None,
    threads: int,
    words: bool,
    vad: bool,
    stream: bool,
    form: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Transcribe CLIPS (WAV, FLAC, Ogg/Opus, MP3 and more, any sample rate) with MODEL.

    A clip that cannot be read is named, the others are transcribed, and the exit code is 2.

    \b
    Example:
      quantkit transcribe build/wav2letter-en/static-int8.onnx clip.wav
      quantkit transcribe model.onnx one.flac two.mp3 --decoder beam --json
      quantkit transcribe model.onnx clip.wav --decoder beam --language-model words.arpa
      quantkit transcribe whisper-base.onnx anruf.wav --language de --format srt
      quantkit transcribe model.onnx calls/*.ogg --words --format json -o texts
      quantkit transcribe model.onnx meeting.m4a --vad --format vtt
      quantkit transcribe stream.onnx clip.wav --stream
    """
    form = _form(form, as_json)
    if stream:
        _refuse_beside_stream(form, words=words, vad=vad, output=output)
    timed = form in CAPTION_FORMS
    if timed and output is None and len(clips) > 1:
        raise InputError(f"name a folder for the {form} files of several clips: -o FOLDER")
    places = [] if output is None else [output / name for name in file_names(clips, form)]
    decoding = replace(decoder.decoding(language or ""), words=words or timed)
    begin_work(f"transcribe {len(clips)} clip{'s' * (len(clips) != 1)}")
    opened = load(model, threads=threads, decoding=decoding, vad=vad)
    failed: list[InputError] = []

    def tell_failed(error: InputError) -> None:
        failed.append(error)
        echo(f"quantkit: {' '.join(str(error).split())}", err=True)

    if stream:
        for clip in clips:
            try:
                for partial in opened.transcribe_live(clip):
                    _tell_partial(partial, form, named=len(clips) > 1)
            except (AudioError, ModelError) as error:
                tell_failed(error)
        if failed:
            click.get_current_context().exit(InputError.exit_code)
        return
    for transcript in _told(opened.transcribe_each(clips, failed=tell_failed), len(clips)):
        if places and transcript.path is not None:
            place = places[clips.index(transcript.path)]
            write_transcript(transcript, place, form)
            echo(str(place))
        elif form == "json":
            echo_json(transcript.to_dict(), indent=None)
        elif form == "text" and len(clips) > 1:
            echo(f"{transcript.name}: {transcript.text}")
        else:
            for line in FORMS[form](transcript).splitlines():
                echo(line)
    if failed:
        click.get_current_context().exit(InputError.exit_code)


def _refuse_beside_stream(form: str, *, words: bool, vad: bool, output: Path | None) -> None:
    """What needs a whole clip."""
    beside = {
        "--words": words,
        "--vad": vad,
        "-o": output is not None,
        f"--format {form}": form not in ("text", "json"),
    }
    if said := next((name for name, given in beside.items() if given), ""):
        raise InputError(f"--stream prints texts while a clip is heard; {said} needs all of it")


def _tell_partial(partial: Partial, form: str, *, named: bool) -> None:
    """One line: when, and what was said so far; the last one is the text alone."""
    if form == "json":
        echo_json(partial.to_dict(), indent=None)
        return
    name = f"{printable(partial.path)}: " if named and partial.path is not None else ""
    when = "" if partial.final else f"{partial.seconds:8.2f} s  "
    echo(f"{name}{when}{partial.text}")


def _form(form: str | None, as_json: bool) -> str:
    if as_json and form not in (None, "json"):
        raise InputError(f"--json and --format {form} are two forms; choose one")
    return "json" if as_json else form or "text"


def _told(transcripts: Iterator[Transcript], total: int) -> Iterator[Transcript]:
    """The same, with progress; the lines in a terminal are progress enough."""
    if sys.stdout.isatty() or total == 1:
        yield from transcripts
        return
    with progress_bar("transcribing") as tell:
        for done, transcript in enumerate(transcripts, start=1):
            yield transcript
            tell.count("transcribing", done, total)
