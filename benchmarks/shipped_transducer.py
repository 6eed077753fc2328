"""Word errors of the transducer of ``models/transducer-en`` on takes and people it never heard.

Run it from the repository: ``python -m benchmarks.shipped_transducer --data FOLDER``, with
``digits/`` and ``speech_commands/`` in the folder; ``--model RUN/best`` measures a run that is not
published. It renews its section of RESULTS.md, which is another one for an RNN-T, such as that of
``models/transducer-en/rnnt.toml``.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np

import quantkit
from benchmarks.cells import ROOT
from benchmarks.recipes import sources_of
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import rate_of
from benchmarks.transducer import RATE, sequences
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.text.distances import error_counts
from quantkit.text.labels import Labels
from quantkit.training.mixture import open_source

MODEL = ROOT / "models" / "transducer-en"
#: Section and heading, and what was trained, by what ``config.json`` calls the architecture.
_SECTIONS = {
    "ParakeetForTDT": ("shipped-transducer", "The transducer of models/transducer-en", "a TDT"),
    "ParakeetForRNNT": (
        "trained-rnnt",
        "An RNN-T that starts from models/transducer-en",
        "an RNN-T (`models/transducer-en/rnnt.toml`)",
    ),
}


def corpora(data: Path, count: int) -> Iterator[tuple[str, Corpus]]:
    """What is measured, by name: sequences of three to seven words, and clips as they are.

    Args:
        count: sequences of each kind.
    """
    sources = sources_of(MODEL)
    digits = open_corpus(data / "digits").select(split="test")
    heard = open_source(
        sources["speech_commands"], data / "speech_commands", Labels.english(), "test"
    )
    yield "digits, sequences of test takes", sequences(digits, count, 1)
    yield "digits, the same with noise at 10 dB", sequences(digits, count, 1, 10.0)
    yield "digits, single test takes", digits
    yield "commands, sequences of held-out people", sequences(heard, count, 1)
    yield "commands, single clips of held-out people", heard


def in_silence(data: Path) -> Corpus:
    """Clips of Speech Commands in which nobody speaks, none of which is trained on."""
    clips = [u for u in open_corpus(data / "speech_commands") if u.text == "silence"]
    return Corpus("nobody speaks", tuple(replace(clip, text="") for clip in clips))


def texts(model: quantkit.Model, clips: Corpus) -> Iterator[tuple[Utterance, str]]:
    """Each clip with what the model writes."""
    for clip in clips:
        waveform = load_waveform(clip, RATE) if clip.waveform is None else clip.waveform
        yield clip, model.transcribe(waveform, RATE).text


@dataclass(frozen=True)
class Heard:
    """What a model wrote.

    Args:
        rows: of a table: name, clips, words, WER, clips without error; and CER, if it was asked
            for.
        silent: clips in which nobody speaks.
        written: of those, how many it wrote something for.
    """

    rows: list[list[str]]
    silent: int
    written: int


def heard(model: Path, data: Path, count: int, *, characters: bool = False) -> Heard:
    """Export a checkpoint and count its errors on everything that is measured.

    Args:
        count: sequences of each kind.
        characters: whether the share of wrong characters is counted, too.
    """
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        path = quantkit.export(model, Path(scratch) / "model.onnx").path
        recogniser = quantkit.load(path)
        for name, clips in corpora(data, count):
            pairs = [(clip.text or "", text) for clip, text in texts(recogniser, clips)]
            counts = [error_counts(wanted.split(), text.split()) for wanted, text in pairs]
            words = sum(each.reference_length for each in counts)
            exact = np.mean([each.errors == 0 for each in counts])
            rows.append(
                [name, str(len(clips)), str(words), rate_of(counts), f"{100 * exact:.1f} %"]
            )
            if characters:
                rows[-1].append(rate_of([error_counts([*a], [*b]) for a, b in pairs]))
            click.echo(rows[-1])
        written = [bool(text) for _, text in texts(recogniser, in_silence(data))]
    return Heard(rows, len(written), sum(written))


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option(
    "--model", type=click.Path(path_type=Path, exists=True), default=MODEL, show_default=True
)
@click.option("--sequences", "count", default=240, show_default=True, help="Of each kind.")
def main(data: Path, model: Path, count: int) -> None:
    """Measure, and renew the section."""
    found = heard(model, data, count)
    card = json.loads((model / "card.json").read_text())
    (architecture,) = json.loads((model / "config.json").read_text())["architectures"]
    name, title, what = _SECTIONS[architecture]
    section = f"""## {title}

`python -m benchmarks.shipped_transducer --data FOLDER`: {what} after {card["step"]} steps of its
last run, float32, greedy. Sequences are of three to seven clips of one speaker with pauses of 0.1
to 0.4 s. No take of a digit was trained on, but other takes of all six speakers were; of the people
who say the commands, nobody was heard. 95 % intervals over clips. {host()}.

{table(["clips", "number", "words", "WER [95 %]", "without error"], found.rows)}

Of {found.silent} clips in which nobody speaks, it writes something for {found.written}.
"""
    replace_section(name, section)
    click.echo(section)


if __name__ == "__main__":
    main()
