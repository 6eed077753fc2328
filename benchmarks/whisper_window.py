"""Whisper with windows that end behind the clip: what they save, and what they cost.

Run it from the repository: ``python -m benchmarks.whisper_window --data FOLDER``, with
``librispeech/`` and ``prompts/`` in the folder. It needs the weights of
:mod:`benchmarks.whisper`, goes on where it was stopped, and renews its section of RESULTS.md. Every
clip goes through all forms in turn, and the processor's seconds are counted, so that ratios hold on
a busy host, too.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
import numpy as np

from benchmarks.cells import ROOT, Study, code_digest, study_options
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import corpus_digest
from benchmarks.whisper import FOLDER, calibration, float_model, spoken
from quantkit.audio.corpora import open_corpus
from quantkit.audio.decode import read_audio
from quantkit.audio.utterance import Corpus
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.pipeline import quantize_model
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.whisper.cut_windows import frames_computed, with_window
from quantkit.runtime.whisper.model import WhisperModel
from quantkit.text.decoding import WHOLE, Decoding
from quantkit.text.distances import error_counts, ratio_interval
from quantkit.text.scoring import WrittenTextScoring

FLOAT, INT8 = "float32", "int8"
PRESET = "hybrid"
#: Speeds depend on none of it, and eight bits need none of it.
FITTING = PtqSettings(
    rounding="nearest", weight_range="min-max", bias_correction=False, target_cpu="vnni"
)
#: Seconds of silence behind the clip; the first is what the others are held against.
SILENCES = (WHOLE, 1.0, 4.0)
CORPORA = {"tiny.en": ("librispeech", "en"), "base": ("librispeech", "en", "fr")}
#: Of prompts, clips of at most so many seconds are heard.
SHORT = 5.0
#: The preset has static ranges in two layers only.
CALIBRATION_CLIPS = 4

_CODE = ("quantkit/runtime/whisper", "benchmarks/whisper_window.py")
_RATE = 16_000


@dataclass(frozen=True)
class Cell:
    """One model in one precision on one test set.

    Args:
        clips: of the test set, at most.
        width: of the beam; 1 is greedy.
    """

    model: str
    corpus: str
    precision: str
    clips: int
    width: int


@dataclass(frozen=True)
class Row:
    """What was found, as JSON of :class:`Form`.

    Args:
        seconds: of audio.
    """

    forms: str
    seconds: float


@dataclass
class Form:
    """One window; all lists are of one value for each clip.

    Args:
        silence: seconds behind the clip, infinite for whole windows.
        errors, words: word errors, and words of the transcript.
        seconds: of the processor that front end, encoder and decoder took.
        again: whether the clip was heard again as a whole.
    """

    silence: float
    errors: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    again: list[bool] = field(default_factory=list)


def test_set(data: Path, name: str, clips: int) -> Corpus:
    """Dev speakers of LibriSpeech, or short prompts of one language."""
    if name == "librispeech":
        return open_corpus(data / name).select(split="dev").sample(clips, seed=1)
    short = (clip for clip in spoken(data, name) if 0 < (clip.seconds or 0) <= SHORT)
    return Corpus(name, tuple(short)).sample(clips, seed=1)


def quantized(data: Path, model: str, silence: float) -> Path:
    """The int8 file whose ranges were observed through such windows."""
    window = "whole" if silence == WHOLE else f"{silence:g}s"
    destination = FOLDER / f"{model}-{PRESET}-{window}.onnx"
    if not destination.is_file():
        prepared = PreparedModel(float_model(model))
        prepared.info = with_window(prepared.info, silence)
        heard = calibration(data, "tiny.en").sample(CALIBRATION_CLIPS)
        quantize_model(prepared, destination, PRESET, heard, fitting=FITTING)
    return destination


def measure(data: Path, cell: Cell) -> Row:
    """Each clip goes through all forms in turn."""
    language = "en" if cell.corpus == "librispeech" else cell.corpus
    forms = [Form(silence) for silence in SILENCES]
    models = [_opened(data, cell, form.silence, language) for form in forms]
    scoring = WrittenTextScoring()
    heard = 0.0
    for index, clip in enumerate(test_set(data, cell.corpus, cell.clips)):
        if clip.path is None or clip.text is None:
            continue
        waveform = read_audio(clip.path, _RATE)
        heard += len(waveform) / _RATE
        reference = scoring.normalized(clip.text, language).split()
        for turn in range(len(forms)):
            place = (index + turn) % len(forms)
            form, model = forms[place], models[place]
            begin = time.process_time()
            features = model.features(waveform)
            windows = list(model.listener.windows(features))
            form.seconds.append(time.process_time() - begin)
            tokens = [token for window in windows for token in window.tokens]
            text = scoring.heard(model.vocabulary.decode(tokens), language).split()
            form.errors.append(error_counts(reference, text).errors)
            form.words.append(len(reference))
            form.again.append(_heard_again(model, len(features), windows[-1].frames))
    return Row(json.dumps([asdict(form) for form in forms]), heard)


def _opened(data: Path, cell: Cell, silence: float, language: str) -> WhisperModel:
    whole = float_model(cell.model)
    path = whole if cell.precision == FLOAT else quantized(data, cell.model, silence)
    decoding = Decoding(
        decoder="greedy" if cell.width == 1 else "beam",
        width=cell.width,
        language=language,
        temperatures=(0.0,),
        window=silence,
    )
    model = WhisperModel.load(path, 1, check=False, decoding=decoding)
    # The first run of a session is slower.
    model.outputs([model.features(0.01 * np.ones(_RATE, np.float32))])
    return model


def _heard_again(model: WhisperModel, features: int, frames: int) -> bool:
    """Whether a window of ``frames`` was computed for a clip that was to have a shorter one."""
    listener = model.listener
    own = features - listener.frontend.window_frames
    silence = WHOLE if listener.decoding.window is None else listener.decoding.window
    return frames_computed(listener.frontend, own, silence) < frames


def difference(form: Form, base: Form) -> tuple[float, tuple[float, float]]:
    """Word error rate less that of ``base``, clip by clip, with its 95 % bootstrap interval."""
    errors = [mine - its for mine, its in zip(form.errors, base.errors, strict=True)]
    return sum(errors) / max(1, sum(form.words)), ratio_interval(errors, form.words)


def time_ratio(form: Form, base: Form) -> tuple[float, tuple[float, float]]:
    """Real-time factor as a share of that of ``base``, with its interval over clips."""
    interval = ratio_interval(form.seconds, base.seconds)
    return sum(form.seconds) / sum(base.seconds), interval


def _lines(cell: Cell, row: Row) -> list[list[str]]:
    forms = [Form(**each) for each in json.loads(row.forms)]
    base, lines = forms[0], []
    for form in forms:
        rate = 100 * sum(form.errors) / max(1, sum(form.words))
        line = [
            cell.model,
            f"{cell.corpus}{'' if cell.width == 1 else f', beam {cell.width}'}",
            cell.precision,
            "whole" if math.isinf(form.silence) else f"clip + {form.silence:g} s",
        ]
        if form is base:
            lines.append([*line, "1", f"{rate:.2f}", "", ""])
            continue
        share, (least, most) = time_ratio(form, base)
        change, (low, high) = difference(form, base)
        lines.append(
            [
                *line,
                f"{share:.2f} [{least:.2f}, {most:.2f}]",
                f"{rate:.2f}",
                f"{100 * change:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]",
                f"{sum(form.again)} of {len(form.again)}",
            ]
        )
    return lines


def report(rows: Mapping[Cell, Row]) -> str:
    """The section of RESULTS.md."""
    lines = [line for cell, row in rows.items() for line in _lines(cell, row)]
    counts = "; ".join(
        f"{corpus}: {clips} clips of {seconds:.1f} s"
        for corpus, (clips, seconds) in {
            cell.corpus: (count, row.seconds / count)
            for cell, row in rows.items()
            for count in (len(json.loads(row.forms)[0]["words"]),)
        }.items()
    )
    header = ["model", "clips", "precision", "window", "time", "WER %", "change, points", "again"]
    return f"""## Whisper with windows that end behind the clip

`python -m benchmarks.whisper_window --data … --clips {next(iter(rows)).clips}`: real weights, no
fallback to sampling, batch 1, one thread; every clip goes through all forms in turn, front end and
search included. Greedy, where no beam is named. `time` is the real-time factor, in seconds of the
processor, as a share of that of whole windows of the same precision, `change` the word error rate
less theirs, clip by clip, both with 95 % intervals over clips; `again` counts the clips whose text
was doubtful, and which were therefore heard as a whole.
int8 is the preset {PRESET}, rounded to the nearest level, its ranges observed on
{CALIBRATION_CLIPS} clips of LibriSpeech's training speakers, through the windows that it runs with.
librispeech: dev speakers; languages: telephone prompts of at most {SHORT:g} seconds. {counts}.
{host()}.

{table(header, lines)}
"""


@dataclass(frozen=True)
class _Measure:
    data: Path

    def __call__(self, cell: Cell) -> Row:
        return measure(self.data, cell)


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path))
@click.option("--clips", default=158, show_default=True, help="Of a test set, at most.")
@click.option("--beam", multiple=True, metavar="MODEL", help="Also with a beam of 5.")
@study_options
def main(data: Path, clips: int, beam: Sequence[str], jobs: int, only: Sequence[str]) -> None:
    """Measure, and renew the section of RESULTS.md."""
    cells = [
        Cell(model, corpus, precision, clips, width)
        for model, corpora in CORPORA.items()
        for width in ((1, 5) if model in beam else (1,))
        for corpus in corpora
        for precision in (FLOAT, INT8)
    ]
    digests = {c.corpus: corpus_digest(test_set(data, c.corpus, clips)) for c in cells}
    study = Study(
        "whisper-window",
        cells,
        Row,
        _Measure(data),
        inputs={"code": code_digest(*(ROOT / part for part in _CODE)), **digests},
    )
    section = report(study.run(jobs=jobs, only=only))
    replace_section("whisper-window", section)
    click.echo(section)


if __name__ == "__main__":
    main()
