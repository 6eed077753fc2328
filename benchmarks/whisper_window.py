"""Whisper with windows that end behind the clip: what they save, and what they cost.

Run it from the repository: ``python -m benchmarks.whisper_window --data FOLDER``, with
``librispeech/`` and ``prompts/`` in the folder. It needs the weights of
:mod:`benchmarks.whisper`, goes on at the clip where it was stopped, and renews its section of
RESULTS.md with the cells that are done. Every clip goes through all forms in turn, and the
processor's seconds are counted, so that ratios hold on a busy host, too.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
import numpy as np

from benchmarks.cells import ROOT, STUDIES, Study, code_digest, study_options
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import corpus_digest
from benchmarks.whisper import FOLDER, calibration, float_model, spoken
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.decode import read_audio
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.graph.artifact import read_info
from quantkit.quantization.pipeline import quantize_model
from quantkit.runtime.whisper.cut_windows import SHORTEST_SECONDS, frames_computed
from quantkit.runtime.whisper.model import WhisperModel
from quantkit.tasks.catalogue import task_of
from quantkit.text.decoding import WHOLE, Decoding
from quantkit.text.distances import error_counts, ratio_interval
from quantkit.text.scoring import WrittenTextScoring

FLOAT, INT8 = "float32", "int8"
PRESET = "hybrid"
#: Seconds of silence behind the clip; the first is what the others are held against.
SILENCES = (WHOLE, 4.0)
CORPORA = {"tiny.en": ("librispeech", "en"), "base": ("librispeech", "en", "fr")}
#: How far the word error rate of cut windows may be from that of whole ones.
PROMISED_POINTS = 0.3
#: Of prompts, clips of at most so many seconds are heard.
SHORT = 5.0
_CODE = ("quantkit/runtime/whisper",)
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
class Listening:
    """What ``--window auto`` would hear of one model in one test set."""

    model: str
    corpus: str


@dataclass(frozen=True)
class Heard:
    """What it heard, as JSON of :class:`~quantkit.tasks.base.WindowTrial`."""

    trials: str


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

    def append(self, values: Sequence[float]) -> None:
        """Add those of one clip, in the order of the lists."""
        errors, words, seconds, again = values
        self.errors.append(int(errors))
        self.words.append(int(words))
        self.seconds.append(seconds)
        self.again.append(bool(again))


def test_set(data: Path, name: str, clips: int) -> Corpus:
    """Dev speakers of LibriSpeech, or short prompts of one language."""
    if name == "librispeech":
        return open_corpus(data / name).select(split="dev").sample(clips, seed=1)
    short = (clip for clip in spoken(data, name) if 0 < (clip.seconds or 0) <= SHORT)
    return Corpus(name, tuple(short)).sample(clips, seed=1)


def quantized(data: Path, model: str) -> Path:
    """The int8 file, as ``quantize --preset hybrid`` makes it."""
    destination = FOLDER / f"{model}-{PRESET}-whole.onnx"
    if not destination.is_file():
        quantize_model(float_model(model), destination, PRESET, calibration(data, model))
    return destination


def measure(data: Path, cell: Cell, log: Path) -> Row:
    """Each clip goes through all forms in turn.

    Args:
        log: what is known of clips already, one JSON object a line; more is added.
    """
    language = "en" if cell.corpus == "librispeech" else cell.corpus
    forms = [Form(silence) for silence in SILENCES]
    known = known_of(log)
    models: list[WhisperModel] = []
    heard = 0.0
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as stream:
        for index, clip in enumerate(test_set(data, cell.corpus, cell.clips)):
            if clip.path is None or clip.text is None:
                continue
            waveform = read_audio(clip.path, _RATE)
            heard += len(waveform) / _RATE
            if clip.identifier not in known:
                models = models or _opened(data, cell, language)
                found = _heard(clip, waveform, models, language, index)
                stream.write(json.dumps({"clip": clip.identifier, "forms": found}) + "\n")
                stream.flush()
                known[clip.identifier] = found
            for form, values in zip(forms, known[clip.identifier], strict=True):
                form.append(values)
    return Row(json.dumps([asdict(form) for form in forms]), heard)


def known_of(log: Path) -> dict[str, list[list[float]]]:
    """Of each clip that is done, the values of each form."""
    if not log.exists():
        return {}
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    # A kill may have left half a line.
    records = (json.loads(line) for line in lines if line.endswith("}\n"))
    return {record["clip"]: record["forms"] for record in records}


def _heard(
    clip: Utterance,
    waveform: FloatArray,
    models: Sequence[WhisperModel],
    language: str,
    index: int,
) -> list[list[float]]:
    scoring = WrittenTextScoring()
    reference = scoring.normalized(clip.text or "", language).split()
    found: dict[int, list[float]] = {}
    for turn in range(len(models)):
        place = (index + turn) % len(models)
        model = models[place]
        begin = time.process_time()
        features = model.features(waveform)
        windows = list(model.listener.windows(features))
        seconds = time.process_time() - begin
        tokens = [token for window in windows for token in window.tokens]
        text = scoring.heard(model.vocabulary.decode(tokens), language).split()
        errors = error_counts(reference, text).errors
        again = _heard_again(model, len(features), windows[-1].frames)
        found[place] = [errors, len(reference), seconds, again]
    return [found[place] for place in range(len(models))]


def listen(data: Path, cell: Listening) -> Heard:
    """Try windows as ``personalize --window auto`` does, on clips of the test set."""
    path = float_model(cell.model)
    info = read_info(path)
    heard = test_set(data, cell.corpus, 10_000)
    trials = task_of(info).try_windows(info, path, heard)
    return Heard(json.dumps([asdict(trial) for trial in trials]))


def _opened(data: Path, cell: Cell, language: str) -> list[WhisperModel]:
    """A model for each window; they share their sessions."""
    source = float_model(cell.model)
    path = source if cell.precision == FLOAT else quantized(data, cell.model)
    network = WhisperModel.load(path, 1, check=False).network
    models = []
    for silence in SILENCES:
        decoding = Decoding(
            decoder="greedy" if cell.width == 1 else "beam",
            width=cell.width,
            language=language,
            temperatures=(0.0,),
            window=silence,
        )
        models.append(WhisperModel(read_info(path, check=False), network, decoding))
        # The first run of a session is slower.
        models[-1].outputs([models[-1].features(0.01 * np.ones(_RATE, np.float32))])
    return models


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


def pooled(rows: Mapping[Cell, Row]) -> list[list[str]]:
    """A line for each precision: the longest windows on all its test sets together."""
    lines = []
    for precision in dict.fromkeys(cell.precision for cell in rows):
        mine, base = Form(SILENCES[-1]), Form(WHOLE)
        for cell, row in rows.items():
            if (cell.precision, cell.width) == (precision, 1):
                forms = [Form(**each) for each in json.loads(row.forms)]
                for own, into in ((forms[0], base), (forms[-1], mine)):
                    into.errors += own.errors
                    into.words += own.words
        if not base.words:
            continue
        change, (low, high) = difference(mine, base)
        lines.append(
            [
                precision,
                f"clip + {SILENCES[-1]:g} s",
                f"{len(base.words)}",
                f"{sum(base.words):,}",
                f"{100 * change:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]",
                "yes" if abs(100 * change) <= PROMISED_POINTS else "no",
            ]
        )
    return lines


def _listening_lines(rows: Mapping[Cell, Row], heard: Mapping[Listening, Heard]) -> list[list[str]]:
    """What ``auto`` would see, beside what came of it."""
    lines = []
    for cell, found in heard.items():
        for trial in json.loads(found.trials):
            changes = []
            for precision in (FLOAT, INT8):
                forms = {
                    form.silence: form
                    for measured, row in rows.items()
                    if (measured.model, measured.corpus) == (cell.model, cell.corpus)
                    and (measured.precision, measured.width) == (precision, 1)
                    for form in (Form(**each) for each in json.loads(row.forms))
                }
                mine = forms.get(trial["silence"])
                changes.append(f"{100 * difference(mine, forms[WHOLE])[0]:+.2f}" if mine else "")
            lines.append(
                [
                    cell.model,
                    cell.corpus,
                    f"{trial['silence']:g}",
                    f"{trial['divergence']:.4f}",
                    f"{trial['share']:.2f}",
                    f"{trial['again']} of {trial['clips']}",
                    *changes,
                ]
            )
    return lines


def _listening(rows: Mapping[Cell, Row], heard: Mapping[Listening, Heard]) -> str:
    header = ["model", "clips", "silence, s", "nats per token", "frames", "again", FLOAT, INT8]
    return f"""What `personalize --window auto` sees on these clips with the float32 model, 24 of
each set, beside the change of the word error rate in points:

{table(header, _listening_lines(rows, heard))}"""


def report(rows: Mapping[Cell, Row], heard: Mapping[Listening, Heard]) -> str:
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
    of_all = [
        "precision",
        "window",
        "clips",
        "words",
        "change, points",
        f"within {PROMISED_POINTS}",
    ]
    return f"""## Whisper with windows that end behind the clip

`python -m benchmarks.whisper_window --data … --clips {next(iter(rows)).clips}`: real weights, no
fallback to sampling, batch 1, one thread; every clip goes through all forms in turn, front end and
search included. Greedy, where no beam is named. `time` is the real-time factor, in seconds of the
processor, as a share of that of whole windows of the same precision, `change` the word error rate
less theirs, clip by clip, both with 95 % intervals over clips; `again` counts the clips whose text
was doubtful, and which were therefore heard as a whole. No window is shorter than
{SHORTEST_SECONDS:g} seconds.
int8 is one file of the preset {PRESET}, calibrated as in the studies of Whisper above.
librispeech: dev speakers; languages: telephone prompts of at most {SHORT:g} seconds. {counts}.
{host()}.

{table(header, lines)}

All test sets together, greedy:

{table(of_all, pooled(rows))}

{_listening(rows, heard) if heard else ""}
"""


@dataclass(frozen=True)
class _Measure:
    data: Path
    inputs: Mapping[str, str]

    def __call__(self, cell: Cell) -> Row:
        content = json.dumps([asdict(cell), dict(self.inputs), SILENCES])
        name = hashlib.sha256(content.encode()).hexdigest()[:16]
        return measure(self.data, cell, STUDIES / "whisper-window" / f"{name}.jsonl")


@dataclass(frozen=True)
class _Listen:
    data: Path

    def __call__(self, cell: Listening) -> Heard:
        return listen(self.data, cell)


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path))
@click.option("--clips", default=158, show_default=True, help="Of a test set, at most.")
@click.option("--beam", multiple=True, metavar="MODEL", help="Also with a beam of 5.")
@study_options
def main(data: Path, clips: int, beam: Sequence[str], jobs: int, only: Sequence[str]) -> None:
    """Measure, and renew the section of RESULTS.md."""
    cells = [
        Cell(model, corpus, precision, clips, width)
        for precision in (INT8, FLOAT)
        for model, corpora in CORPORA.items()
        for width in ((1, 5) if model in beam else (1,))
        for corpus in corpora
    ]
    digests = {c.corpus: corpus_digest(test_set(data, c.corpus, clips)) for c in cells}
    inputs = {"code": code_digest(*(ROOT / part for part in _CODE)), **digests}
    study = Study("whisper-window", cells, Row, _Measure(data, inputs), inputs=inputs)
    listening = [
        Listening(model, corpus) for model, corpora in CORPORA.items() for corpus in corpora
    ]
    trials = Study("whisper-window-auto", listening, Heard, _Listen(data), inputs=inputs)
    rows = study.run(jobs=jobs, only=only)
    section = report(rows, trials.finished() if only else trials.run(jobs=jobs))
    replace_section("whisper-window", section)
    click.echo(section)


if __name__ == "__main__":
    main()
