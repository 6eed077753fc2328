"""Word errors of the wav2vec 2.0 of ``models/wav2vec2-en`` on takes and people it never heard.

Run it from the repository: ``python -m benchmarks.shipped_wav2vec2 --data FOLDER``, with
``digits/`` and ``speech_commands/`` in the folder; ``--model RUN/best`` measures a run that is not
published. It renews its section of RESULTS.md. The clips are those on which
:mod:`benchmarks.shipped_transducer` measures the transducer.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from benchmarks.shipped_transducer import heard

MODEL = ROOT / "models" / "wav2vec2-en"
_SECTION = "shipped-wav2vec2"


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option(
    "--model", type=click.Path(path_type=Path, exists=True), default=MODEL, show_default=True
)
@click.option("--sequences", "count", default=240, show_default=True, help="Of each kind.")
def main(data: Path, model: Path, count: int) -> None:
    """Measure, and renew the section."""
    found = heard(model, data, count, characters=True)
    card = json.loads((model / "card.json").read_text())
    header = ["clips", "number", "words", "WER [95 %]", "without error", "CER [95 %]"]
    section = f"""## The wav2vec 2.0 of models/wav2vec2-en

`python -m benchmarks.shipped_wav2vec2 --data FOLDER`: a `Wav2Vec2ForCTC` after {card["step"]}
steps, float32, greedy, without a language model. The clips are those of
[the transducer](#the-transducer-of-modelstransducer-en): no take of a digit was trained on, but
other takes of all six speakers were; of the people who say the commands, nobody was heard. 95 %
intervals over clips. {host()}.

{table(header, found.rows)}

Of {found.silent} clips in which nobody speaks, it writes something for {found.written}.
"""
    replace_section(_SECTION, section)
    click.echo(section)


if __name__ == "__main__":
    main()
