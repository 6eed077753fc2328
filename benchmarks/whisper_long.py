"""Whisper on recordings of two minutes: windows, times, and the text before, after quantization.

Files are made from clips of some seconds, decoded without times. In use, whoever speaks for longer
is heard in windows: the decoder writes times, and reads what it wrote before.

Run it from the repository: ``python -m benchmarks.whisper_long --data FOLDER``, with the folders
that :mod:`benchmarks.whisper` needs. It renews its section of RESULTS.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.results import host, replace_section, table
from benchmarks.whisper import Form, change, forms_of, test_set, wer
from quantkit.arrays import FloatArray
from quantkit.audio.decode import read_audio
from quantkit.audio.utterance import Corpus
from quantkit.text.distances import error_counts
from quantkit.text.scoring import WrittenTextScoring

MODEL = "base"
#: Of a recording at least, and between the sentences in it.
SECONDS, PAUSE = 100.0, 0.5
#: Recordings of each of LibriSpeech's dev speakers.
PER_SPEAKER = 3
_RATE = 16_000


@dataclass(frozen=True)
class Recording:
    """Sentences of one speaker, one after the other."""

    waveform: FloatArray
    text: str


def recordings(corpus: Corpus) -> Iterator[Recording]:
    """The first ones of each speaker."""
    by_speaker: dict[str, list[tuple[FloatArray, str]]] = defaultdict(list)
    made: dict[str, int] = defaultdict(int)
    pause = np.zeros(round(PAUSE * _RATE), np.float32)
    for clip in corpus:
        if clip.path is None or clip.text is None or made[clip.speaker] == PER_SPEAKER:
            continue
        some = by_speaker[clip.speaker]
        some.append((np.concatenate((read_audio(clip.path, _RATE), pause)), clip.text))
        if sum(len(waveform) for waveform, _ in some) >= SECONDS * _RATE:
            waveforms, texts = zip(*some, strict=True)
            yield Recording(np.concatenate(waveforms), " ".join(texts))
            made[clip.speaker] += 1
            some.clear()


def measure(data: Path) -> tuple[list[Form], int, float]:
    """Every form on every recording; how many those are, and their seconds."""
    forms = forms_of(data, MODEL, timestamps=True)
    scoring = WrittenTextScoring()
    found = {name: Form(name, size, [], [], 0.0) for name, (size, _) in forms.items()}
    heard = list(recordings(test_set(data, "librispeech")))
    for index, recording in enumerate(heard, 1):
        reference = scoring.normalized(recording.text, "en").split()
        for name, (_, transcribe) in forms.items():
            text = transcribe(recording.waveform, "en")
            errors = error_counts(reference, scoring.heard(text, "en").split()).errors
            found[name].errors.append(errors)
            found[name].words.append(len(reference))
        click.echo(f"{index} of {len(heard)} recordings", err=True)
    return list(found.values()), len(heard), sum(len(r.waveform) for r in heard) / _RATE


def report(forms: list[Form], count: int, seconds: float) -> str:
    """The section of RESULTS.md."""
    lines = []
    for form in forms:
        rate, (low, high) = wer(form)
        moved, (least, most) = change([form], [forms[0]])
        lines.append(
            [
                form.name,
                f"{form.bytes / 1e6:.1f}",
                f"{100 * rate:.1f} [{100 * low:.1f}, {100 * high:.1f}]",
                f"{100 * moved:+.1f} [{100 * least:+.1f}, {100 * most:+.1f}]"
                if form is not forms[0]
                else "",
            ]
        )
    return f"""## Whisper on long recordings

`python -m benchmarks.whisper_long --data …`: the files of the
[study of clips](#whisper-base-errors-size-and-speed), which heard clips of some seconds while they
were made, on {count} recordings of {seconds / count:.0f} s each: sentences of LibriSpeech's dev
speakers, {PAUSE} s apart. Greedy, with times, each window told what was said before, no fallback,
in all forms. Intervals: 95 %, bootstrap over recordings. {host()}.

{table(["form", "MB", "WER %", "change, points"], lines)}
"""


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True))
def main(data: Path) -> None:
    """Measure, and renew the section in RESULTS.md."""
    section = report(*measure(data))
    replace_section("whisper-long", section)
    click.echo(section)


if __name__ == "__main__":
    main()
