"""Word times and confidence against what is known, and what ``--vad`` keeps from being written.

Run it from the repository: ``python -m benchmarks.word_times --data FOLDER``, where FOLDER holds
``digits``, ``librispeech`` and ``speech_commands``. It renews its section of RESULTS.md; with
``--only`` the rows of the models that it names. ``--moonshine FOLDER`` adds a Moonshine in the
layout of onnx-community.

Times: takes of digits (0 to 4, which nothing was trained on) one after the other with pauses, so
that the place of each is known. Confidence: the chance that a right word of LibriSpeech's dev
speakers gets more than a wrong one (the area under the ROC curve).
"""

from __future__ import annotations

import importlib.util
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

import quantkit
from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table, tables_in
from benchmarks.whisper_weights import WEIGHTS
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.audio.utterance import Corpus
from quantkit.text.distances import levenshtein
from quantkit.text.words import Word

_RATE = 16_000
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NUMERALS = {str(number): name for number, name in enumerate(_DIGITS)}
# Of a take, what is softer than its loudest 10 ms by this much is no part of the word.
_SOFT_DECIBELS = 30.0
_FARTHEST_SECONDS = 1.0
# A word with one wrong letter is heard where it was said, too.
_FARTHEST_EDITS = 2


@dataclass(frozen=True)
class Said:
    """A word and its true place, in seconds."""

    text: str
    start: float
    end: float


def sequences(folder: Path, count: int) -> Iterator[tuple[FloatArray, list[Said]]]:
    """Five takes of one speaker each, with pauses of 0.3 to 0.8 seconds."""
    random = np.random.default_rng(0)
    takes = open_corpus(folder).select(split="test")
    speakers = [
        list(group)
        for _, group in groupby(sorted(takes, key=lambda u: u.speaker), key=lambda u: u.speaker)
    ]
    for at in range(count):
        spoken = speakers[at % len(speakers)]
        parts: list[FloatArray] = []
        words: list[Said] = []
        samples = 0
        for take in random.choice(len(spoken), 5, replace=False):
            pause = _quiet(random, random.uniform(0.3, 0.8))
            sound = load_waveform(spoken[take], _RATE)
            begin, end = _loud(sound)
            samples += len(pause)
            words.append(
                Said(str(spoken[take].text), (samples + begin) / _RATE, (samples + end) / _RATE)
            )
            samples += len(sound)
            parts += [pause, sound]
        parts.append(_quiet(random, 0.5))
        yield np.concatenate(parts).astype(np.float32), words


def _quiet(random: np.random.Generator, seconds: float) -> FloatArray:
    samples = 0.001 * random.standard_normal(int(_RATE * seconds))
    return samples.astype(np.float32)


def _loud(sound: FloatArray) -> tuple[int, int]:
    step = _RATE // 100
    frames = sound[: len(sound) // step * step].reshape(-1, step)
    level = 10 * np.log10((frames**2).mean(axis=1) + 1e-12)
    loud = np.flatnonzero(level > level.max() - _SOFT_DECIBELS)
    return int(loud[0]) * step, (int(loud[-1]) + 1) * step


def plain(text: str) -> str:
    """A word without case and punctuation, digits spelt."""
    bare = re.sub(r"[^\w']", "", text.lower())
    return _NUMERALS.get(bare, bare)


def errors(found: Sequence[Word], said: Sequence[Said]) -> Iterator[tuple[float, float]]:
    """Of each word that was recognised, how far its start and end are off, in seconds."""
    left = list(found)
    for word in said:
        near = [
            each
            for each in left
            if levenshtein(plain(each.text), word.text) < _FARTHEST_EDITS
            and abs(each.start - word.start) < _FARTHEST_SECONDS
        ]
        if near:
            best = min(near, key=lambda each: abs(each.start - word.start))
            left.remove(best)
            yield best.start - word.start, best.end - word.end


def judged(words: Sequence[Word], reference: str) -> list[tuple[float, bool]]:
    """Confidence of each word, and whether a shortest way to the reference keeps it."""
    wanted = [plain(word) for word in reference.split()]
    matcher = SequenceMatcher(None, [plain(w.text) for w in words], wanted, autojunk=False)
    right = {
        i for block in matcher.get_matching_blocks() for i in range(block.a, block.a + block.size)
    }
    return [(word.confidence, at in right) for at, word in enumerate(words)]


def area(pairs: Sequence[tuple[float, bool]]) -> float:
    """Chance that a right word has more confidence than a wrong one; equal ones count half."""
    right = np.array([c for c, ok in pairs if ok])
    wrong = np.sort([c for c, ok in pairs if not ok])
    if not right.size or not wrong.size:
        return float("nan")
    below = np.searchsorted(wrong, right) + np.searchsorted(wrong, right, side="right")
    return float(below.mean() / (2 * wrong.size))


def interval(clips: Sequence[list[tuple[float, bool]]]) -> str:
    """The area with its 95 % bootstrap interval over clips."""
    random = np.random.default_rng(0)
    draws = [
        area([pair for at in random.integers(0, len(clips), len(clips)) for pair in clips[at]])
        for _ in range(300)
    ]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return f"{area([pair for clip in clips for pair in clip]):.2f} [{low:.2f}, {high:.2f}]"


def sources(moonshine: Path | None) -> dict[str, tuple[Path, str]]:
    """Where each model is exported from, and the preset that makes it int8, if that is measured."""
    found = {"Wav2Letter, shipped": (ROOT / "models" / "wav2letter-en", "static-int8")}
    found["TDT, shipped"] = (ROOT / "models" / "transducer-en", "dynamic-int8")
    found |= {f"Whisper {name}": (WEIGHTS / name, "hybrid") for name in ("tiny.en", "base")}
    if moonshine is not None:
        # No preset leaves its convolutions in float; dynamic-int8 recognises none of 150 digits.
        found["Moonshine base"] = (moonshine, "")
    return found


def models(
    data: Path, scratch: Path, chosen: Mapping[str, tuple[Path, str]]
) -> Iterator[tuple[str, Path]]:
    """Each model in float32, and in int8 where there is a preset."""
    heard = open_corpus(data / "librispeech").select(split="train").sample(8)
    for number, (name, (source, preset)) in enumerate(chosen.items()):
        if not source.is_dir():
            click.echo(
                f"skipped {name}: {source} is missing; run python -m benchmarks.whisper_weights"
            )
            continue
        path, small = scratch / f"{number}.onnx", scratch / f"{number}.int8.onnx"
        quantkit.export(source, path)
        yield f"{name}, float32", path
        if preset:
            quantkit.quantize(path, small, preset, audio=heard)
            yield f"{name}, int8", small


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--sequences", "count", default=60, show_default=True, help="Of five digits.")
@click.option("--clips", default=158, show_default=True, help="Of LibriSpeech, for confidence.")
@click.option("--moonshine", type=click.Path(path_type=Path, exists=True), help="Folder of one.")
@click.option("--only", multiple=True, help="Models, such as 'Whisper *'; others stay as they are.")
def main(data: Path, count: int, clips: int, moonshine: Path | None, only: tuple[str, ...]) -> None:
    """Measure, and renew the section of RESULTS.md."""
    known = sources(moonshine)
    chosen = {
        name: known[name] for name in known if not only or any(fnmatch(name, o) for o in only)
    }
    earlier = tables_in("word-times") if only else []
    spoken = list(sequences(data / "digits", count))
    read = open_corpus(data / "librispeech").select(split="dev").sample(clips)
    quiet = [u for u in open_corpus(data / "speech_commands") if u.text == "silence"][:60]
    timed: dict[str, list[str]] = {}
    kept: dict[str, list[str]] = {}
    for rows, table_of_earlier in zip((timed, kept), earlier, strict=False):
        rows |= {name: row for name, row in table_of_earlier.items() if name != "model"}
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in models(data, Path(scratch), chosen):
            model = quantkit.load(path, decoding=quantkit.Decoding(words=True))
            off = [
                pair
                for waveform, words in spoken
                for pair in errors(model.transcribe(waveform, _RATE).words, words)
            ]
            starts, ends = np.abs(np.array(off)).T if off else (np.zeros(0), np.zeros(0))
            told = model.transcribe(read)
            sure = [judged(t.words, str(u.text)) for t, u in zip(told, read, strict=True)]
            timed[name] = [
                name,
                f"{len(off)} of {5 * count}",
                *map(_off, (starts, ends)),
                interval(sure),
            ]
            click.echo(timed[name])
            if name.endswith("float32") and importlib.util.find_spec("silero_vad"):
                cells = []
                for vad in (False, True):
                    plainly = quantkit.load(path, vad=vad)
                    texts = [t.text for t in plainly.transcribe(Corpus("quiet", tuple(quiet)))]
                    cells += [f"{sum(map(bool, texts))}", f"{sum(map(len, texts))}"]
                plain_name = name.removesuffix(", float32")
                kept[plain_name] = [plain_name, *cells]
                click.echo(kept[plain_name])
    section = _section([*timed.values()], [*kept.values()], len(read), len(quiet), count)
    replace_section("word-times", section)


def _off(seconds: npt.NDArray[np.float64]) -> str:
    """Median and 90th percentile in milliseconds."""
    if not seconds.size:
        return "–"
    return f"{1000 * np.median(seconds):.0f}, {1000 * np.percentile(seconds, 90):.0f}"


def _section(
    timed: Sequence[Sequence[str]], kept: Sequence[Sequence[str]], read: int, quiet: int, count: int
) -> str:
    return f"""## Word times and confidence

`python -m benchmarks.word_times --data FOLDER`: {count} sequences of five digits (takes that
nothing was trained on, pauses of 0.3 to 0.8 s, one speaker each), so that the place of each word is
known. `start` and `end`: how far they are off, in milliseconds, median and 90th percentile, for the
words that were recognised, or missed by a letter. `confidence`: the chance that a right word has
more of it than a wrong one, on {read} clips of LibriSpeech's dev speakers, with a 95 %
interval over clips; 0.5 is none.
{host()}.

{table(["model", "recognised", "start", "end", "confidence"], timed)}

Clips of Speech Commands in which nobody speaks, {quiet} of them: those for which something is
written, and how many characters, as they are and with `--vad`.

{table(["model", "clips", "characters", "with --vad: clips", "characters"], kept)}
"""


if __name__ == "__main__":
    main()
