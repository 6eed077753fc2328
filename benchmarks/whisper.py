"""Whisper with real weights: errors, size and speed, ours against others.

Run it from the repository: ``python -m benchmarks.whisper --data FOLDER``, with ``librispeech/``,
``prompts/`` and ``german/`` in the folder. It fetches tiny.en and base (see
:mod:`benchmarks.whisper_weights`), needs PyTorch and transformers for the export and
``faster-whisper`` for the comparison, goes on where it was stopped, and renews the sections of
these models in RESULTS.md. Nothing else should run meanwhile.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import click
import numpy as np
import onnx
from onnxruntime.quantization import quantize_dynamic

from benchmarks.cells import ROOT, STUDIES, Study, code_digest
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import corpus_digest
from benchmarks.whisper_weights import fetched
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.decode import read_audio
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.exporting.sources import ExportOptions, export_source
from quantkit.graph.artifact import load_model, read_info, save_model, total_size
from quantkit.personalization.pipeline import personalize
from quantkit.quantization.tied_weights import separate_transposes
from quantkit.tasks.open import open_speech_model
from quantkit.text.decoding import Decoding
from quantkit.text.distances import error_counts, ratio_interval
from quantkit.text.scoring import WrittenTextScoring

FOLDER = ROOT / "build" / "whisper"
CACHE = STUDIES / "cache"

#: Bytes of all files of a model together. 21.2 and 39.7 MB are half of what faster-whisper's int8
#: takes.
BUDGETS = {
    "tiny.en": (36_000_000, 30_000_000, 21_200_000),
    "base": (75_000_000, 55_000_000, 45_000_000, 39_700_000, 35_000_000),
}
LANGUAGES = ("en", "es", "fr", "it", "ru", "de")
#: Clips that models are calibrated on, and of each language's test set; of LibriSpeech all clips of
#: the dev speakers are tested.
CALIBRATION_CLIPS, CALIBRATION_PER_LANGUAGE = 16, 14
CLIPS_PER_LANGUAGE = 24

FLOAT, PLAIN = "quantkit float32", "ONNX Runtime dynamic int8"
FASTER_FLOAT, FASTER_INT8 = "faster-whisper float32", "faster-whisper int8"

_CODE = ("quantkit", "benchmarks/whisper.py")
_RATE = 16_000

Transcribe = Callable[[FloatArray, str], str]


@dataclass(frozen=True)
class Cell:
    """One model, in all its forms, on one test set.

    Args:
        budgets: bytes of the only sizes that are measured, separated by commas, and without the
            forms of others; empty: all.
    """

    model: str
    corpus: str
    budgets: str = ""


@dataclass(frozen=True)
class Row:
    """What was found, as JSON: for each form its size, errors and words of each clip, seconds.

    Args:
        seconds: of audio.
    """

    forms: str
    seconds: float


@dataclass(frozen=True)
class Form:
    """One form of a model on one test set.

    Args:
        errors, words: word errors of each clip, and words of its transcript.
        seconds: of the processor that all clips took, front end and all.
    """

    name: str
    bytes: int
    errors: list[int]
    words: list[int]
    seconds: float


def test_set(data: Path, name: str) -> Corpus:
    """``librispeech``: dev speakers; or a language of the telephone prompts and read German."""
    if name == "librispeech":
        return open_corpus(data / "librispeech").select(split="dev")
    heard = {clip.identifier for clip in _calibration_of(data, name)}
    others = [clip for clip in spoken(data, name) if clip.identifier not in heard]
    return Corpus(name, tuple(others)).sample(CLIPS_PER_LANGUAGE, seed=1)


def calibration(data: Path, model: str) -> Corpus:
    """Clips of no test set: LibriSpeech's training speakers, and of all languages for base."""
    heard = open_corpus(data / "librispeech").select(split="train").sample(CALIBRATION_CLIPS)
    if model == "tiny.en":
        return heard
    clips = list(heard.sample(CALIBRATION_PER_LANGUAGE))
    for language in LANGUAGES:
        clips += _calibration_of(data, language)
    return Corpus("speech in six languages", tuple(clips))


def _calibration_of(data: Path, language: str) -> Corpus:
    return spoken(data, language).sample(CALIBRATION_PER_LANGUAGE)


def spoken(data: Path, language: str) -> Corpus:
    if language == "de":
        return open_corpus(data / "german")
    return open_corpus(data / "prompts").select(language=language)


def float_model(name: str) -> Path:
    """The exported model."""
    path = FOLDER / f"{name}.onnx"
    if not path.is_file():
        export_source(str(fetched(name)), path, ExportOptions(name=f"whisper-{name}"))
    return path


def plain_dynamic(source: Path) -> Path:
    """``onnxruntime.quantization.quantize_dynamic`` as it comes, on the whole graph, cut again.

    The projection gets a weight of its own first, as other exporters write it: read through a
    ``Transpose``, it would stay float.
    """
    destination = source.with_name(f"{source.stem}-plain.onnx")
    if destination.is_file():
        return destination
    model = load_model(source)
    separate_transposes(model)
    metadata = [(e.key, e.value) for e in model.metadata_props if e.key != "quantkit.plan"]
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(model, before)
        quantize_dynamic(before, after)
        made = onnx.load(after)
    del made.metadata_props[:]
    for key, value in metadata:
        made.metadata_props.add(key=key, value=value)
    save_model(made, destination)
    return destination


def personalised(source: Path, budget: int, heard: CalibrationData) -> Path:
    """The best file within ``budget`` for those who are heard."""
    # Of this code: a file of another one must not be measured for it.
    code = code_digest(ROOT / "quantkit")[:8]
    destination = source.with_name(f"{source.stem}-{budget / 1e6:g}MB-{code}.onnx")
    if not destination.is_file():
        personalize(source, destination, heard, budget, cache=CACHE)
        click.echo(f"{destination.name}: {total_size(destination):,} bytes", err=True)
    return destination


@cache
def forms_of(
    data: Path, model: str, *, timestamps: bool = False, budgets: str = ""
) -> dict[str, tuple[int, Transcribe]]:
    """All forms of ``model``: bytes on disk, and how it hears a waveform in a language.

    Args:
        budgets: see :class:`Cell`.
    """
    source = float_model(model)
    # Heard once, for all budgets.
    heard = CalibrationData.of(calibration(data, model), read_info(source), source)
    paths = {FLOAT: source, PLAIN: plain_dynamic(source)}
    for budget in map(int, budgets.split(",")) if budgets else BUDGETS[model]:
        paths[f"quantkit {budget / 1e6:g} MB"] = personalised(source, budget, heard)
    forms = {name: (total_size(path), _ours(path, timestamps)) for name, path in paths.items()}
    if budgets:
        return forms
    weights = fetched(model)
    vocabulary = (weights / "vocabulary.txt").stat().st_size
    stored = (weights / "model.bin").stat().st_size
    # What ct2-transformers-converter writes: a byte, or four, instead of float16's two.
    for name, kind, size in (
        (FASTER_FLOAT, "float32", 2 * stored),
        (FASTER_INT8, "int8", _int8_size(weights)),
    ):
        forms[name] = (size + vocabulary, _theirs(weights, kind, timestamps))
    return forms


def _ours(path: Path, timestamps: bool) -> Transcribe:
    models = {}

    def transcribe(waveform: FloatArray, language: str) -> str:
        if language not in models:
            decoding = Decoding(language=language, timestamps=timestamps, temperatures=(0.0,))
            models[language] = open_speech_model(path, 1, decoding=decoding)
        model = models[language]
        (output,) = model.outputs([model.features(waveform)])
        return model.text_of(output)

    return transcribe


def _theirs(folder: Path, kind: str, timestamps: bool) -> Transcribe:
    from faster_whisper import WhisperModel

    model = WhisperModel(str(folder), device="cpu", compute_type=kind, cpu_threads=1)

    def transcribe(waveform: FloatArray, language: str) -> str:
        segments, _ = model.transcribe(
            waveform,
            language=language,
            beam_size=1,
            temperature=0.0,
            without_timestamps=not timestamps,
        )
        return "".join(segment.text for segment in segments)

    return transcribe


def _int8_size(folder: Path) -> int:
    """Bytes of ``model.bin`` in int8: matrices have a float scale for each row."""
    from quantkit.models.whisper.ctranslate2 import read_arrays

    arrays = read_arrays(folder / "model.bin")
    total = 0
    for name, array in arrays.items():
        if name == "decoder/projection/weight":
            continue
        matrix = array.ndim == 2 and "position_encodings" not in name
        total += array.size + 4 * array.shape[0] if matrix else 4 * array.size
    return total


def measure(data: Path, cell: Cell) -> Row:
    """Each clip goes through all forms in turn."""
    forms = forms_of(data, cell.model, budgets=cell.budgets)
    scoring = WrittenTextScoring()
    language = "en" if cell.corpus == "librispeech" else cell.corpus
    found = {name: Form(name, size, [], [], 0.0) for name, (size, _) in forms.items()}
    taken = dict.fromkeys(forms, 0.0)
    heard = 0.0
    corpus = test_set(data, cell.corpus)
    names = list(forms)
    for _, transcribe in forms.values():
        # The first run of a session is slower.
        transcribe(0.01 * np.ones(_RATE, np.float32), language)
    for index, clip in enumerate(corpus):
        if clip.path is None or clip.text is None:
            continue
        waveform = read_audio(clip.path, _RATE)
        reference = scoring.normalized(clip.text, language).split()
        heard += len(waveform) / _RATE
        for turn in range(len(names)):
            name = names[(index + turn) % len(names)]
            begin = time.process_time()
            text = forms[name][1](waveform, language)
            taken[name] += time.process_time() - begin
            counts = error_counts(reference, scoring.heard(text, language).split())
            found[name].errors.append(counts.errors)
            found[name].words.append(len(reference))
    rows = [asdict(form) | {"seconds": taken[form.name]} for form in found.values()]
    return Row(json.dumps(rows), heard)


def wer(form: Form) -> tuple[float, tuple[float, float]]:
    """Word error rate and its 95 % bootstrap interval over clips."""
    rate = sum(form.errors) / max(1, sum(form.words))
    return rate, ratio_interval(form.errors, form.words)


def change(forms: Sequence[Form], floats: Sequence[Form]) -> tuple[float, tuple[float, float]]:
    """Word error rate over all test sets less that of the float model, clip by clip."""
    differences = [
        mine - its
        for form, base in zip(forms, floats, strict=True)
        for mine, its in zip(form.errors, base.errors, strict=True)
    ]
    words = [count for form in forms for count in form.words]
    return sum(differences) / max(1, sum(words)), ratio_interval(differences, words)


def _model_table(rows: Mapping[Cell, Row], cells: Sequence[Cell]) -> str:
    parsed = {cell: [Form(**each) for each in json.loads(rows[cell].forms)] for cell in cells}
    lines = []
    for index, first in enumerate(parsed[cells[0]]):
        own = [parsed[cell][index] for cell in cells]
        audio = sum(rows[cell].seconds for cell in cells)
        seconds = sum(form.seconds for form in own)
        base = sum(parsed[cell][0].seconds for cell in cells)
        errors = []
        for form in own:
            rate, (low, high) = wer(form)
            errors.append(f"{100 * rate:.1f} [{100 * low:.1f}, {100 * high:.1f}]")
        lines.append(
            [
                first.name,
                f"{first.bytes / 1e6:.1f}",
                f"{seconds / audio:.3f}",
                f"{base / seconds:.2f}×",
                _points(change(own, [parsed[cell][0] for cell in cells])) if index else "",
                *errors,
            ]
        )
    header = ["form", "MB", "real-time factor", "speed", "change, points"]
    return table([*header, *(f"WER %, {cell.corpus}" for cell in cells)], lines)


def _points(change: tuple[float, tuple[float, float]]) -> str:
    value, (low, high) = change
    return f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def report(rows: Mapping[Cell, Row], model: str) -> str:
    """The section of RESULTS.md about ``model``."""
    cells = [cell for cell in rows if cell.model == model]
    few = cells[0].budgets
    many = model != "tiny.en"
    languages = f"; each language: {CLIPS_PER_LANGUAGE} telephone\nprompts (de: read sentences)"
    librispeech = len(json.loads(rows[cells[0]].forms)[0]["errors"])
    heard = f"{CALIBRATION_CLIPS} clips of LibriSpeech's training speakers"
    if many:
        heard = (
            f"{CALIBRATION_PER_LANGUAGE} clips of LibriSpeech's training speakers and as many of "
            "each\nlanguage that are not tested"
        )
    title = "small budgets" if few else "errors, size and speed"
    options = "".join(f" --budget {budget}" for budget in few.split(",") if budget)
    peers = """
Sizes are of files on disk, all of a model together with its vocabulary; those of faster-whisper
are what its converter stores (its int8 is made from float16 while it loads)."""
    return f"""## Whisper {model}: {title}

`python -m benchmarks.whisper --data … --model {model}{options}`: real weights,
greedy, no timestamps, no fallback, batch 1, one thread; every clip goes through all forms in turn,
front end and search included; seconds are of the processor. Words are normalised as published with
Whisper; intervals are 95 % over clips, and `change` is of the word error rate over all test sets
together, clip by clip against float32.
LibriSpeech: the dev speakers, {librispeech} clips{languages if many else ""}.{"" if few else peers}
Calibrated on {heard}.
{host()}.

{_model_table(rows, cells)}
"""


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path))
@click.option("--model", "models", multiple=True, type=click.Choice(sorted(BUDGETS)))
@click.option("--corpus", "corpora", multiple=True)
@click.option("--budget", "budgets", multiple=True, type=int, help="Bytes, in place of all sizes.")
def main(
    data: Path, models: tuple[str, ...], corpora: tuple[str, ...], budgets: tuple[int, ...]
) -> None:
    """Measure, and renew the section in RESULTS.md: with ``--budget`` one of its own."""
    few = ",".join(map(str, budgets))
    cells = [
        Cell(model, corpus, few)
        for model in models or BUDGETS
        for corpus in corpora or ("librispeech", *(LANGUAGES if model == "base" else ()))
    ]
    digests = {c.corpus: corpus_digest(test_set(data, c.corpus)) for c in cells}
    study = Study(
        "whisper",
        cells,
        Row,
        _Measure(data),
        inputs={"code": code_digest(*(ROOT / part for part in _CODE)), **digests},
    )
    rows = dict(study.run(jobs=1))
    for model in models or BUDGETS:
        section = report(rows, model)
        name = f"whisper-{model.replace('.', '-')}"
        replace_section(f"{name}-small" if few else name, section)
        click.echo(section)


@dataclass(frozen=True)
class _Measure:
    data: Path

    def __call__(self, cell: Cell) -> Row:
        return measure(self.data, cell)


if __name__ == "__main__":
    main()
