"""What the study of words measures, and how it is compared and written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.results import table
from benchmarks.voices import HIGH, LOW, VOICES
from quantkit.report.formatting import Interval
from quantkit.text.distances import ratio_interval

FLOAT, OURS, DIGITS = "float32", "ours", "digits"
#: Errors and units of each clip, (clips, 2).
Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Method:
    """One way to make a file.

    Args:
        planner: as ``quantkit plan`` names it; empty: that of the study's own.
        activations_as_weights: whether activations have as many bits as weights.
        compares_voices: whether it is calibrated on low and on high voices, too.
    """

    planner: str = ""
    activations_as_weights: bool = False
    compares_voices: bool = True


METHODS: Mapping[str, Method] = {
    FLOAT: Method(compares_voices=False),
    OURS: Method(),
    "myQASR": Method("myqasr", activations_as_weights=True),
    "myQASR, 8-bit inputs": Method("myqasr"),
    "8 bits everywhere": Method("uniform", compares_voices=False),
}


@dataclass(frozen=True)
class Cell:
    """One file.

    Args:
        method: one of :data:`METHODS`.
        mib: what the file may take, in MiB of the source work's model; 0 for float32.
        heard: whose clips calibrate: ``anyone``, ``low``, ``high``, or ``none``.
    """

    method: str
    mib: int
    heard: str


@dataclass(frozen=True)
class Row:
    """What became of it.

    Args:
        bytes: of the file.
        words, characters: errors and units of each test clip, by group, as JSON.
    """

    bytes: int
    words: str
    characters: str


Results = Mapping[Cell, Row]


def counts_of(counts: str, groups: Sequence[str]) -> Counts:
    """Errors and units of the clips of some groups, one group after the other."""
    found = json.loads(counts)
    return np.concatenate([np.array(found[group], float) for group in groups])


@dataclass(frozen=True)
class Rate:
    """An error rate, with its 95 % bootstrap interval over clips."""

    value: float
    interval: Interval

    def __str__(self) -> str:
        return percent(self.value, self.interval)


def percent(value: float, interval: Interval, sign: str = "") -> str:
    """In percent, as tables have it.

    >>> percent(0.125, (0.1, 0.15))
    '12.5 [10.0, 15.0]'
    """
    low, high = interval
    return f"{100 * value:{sign}.1f} [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def rate(counts: Counts) -> Rate:
    """Errors per unit."""
    errors, units = counts.T
    return Rate(float(errors.sum() / units.sum()), ratio_interval(errors, units))


def difference(one: Counts, other: Counts) -> Rate:
    """How much higher the rate of ``one`` is, paired by clip."""
    errors = one[:, 0] - other[:, 0]
    return Rate(float(errors.sum() / one[:, 1].sum()), ratio_interval(errors, one[:, 1]))


def budget_rows(results: Results) -> list[list[str]]:
    """A row for each file that was calibrated on anyone, float32 first."""
    groups = [*VOICES, DIGITS]
    rows = []
    for cell, row in results.items():
        if cell.heard not in ("anyone", "none"):
            continue
        by_group = [str(rate(counts_of(row.words, [group]))) for group in groups]
        rows.append(
            [
                f"{cell.mib or '–'}, {cell.method}",
                f"{row.bytes:,}",
                str(rate(counts_of(row.words, groups))),
                str(rate(counts_of(row.characters, groups))),
                *by_group,
            ]
        )
    return sorted(rows, key=lambda cells: _order(cells[0]))


def _order(name: str) -> tuple[int, int]:
    """Budgets rise, and methods stand as they are listed."""
    mib, _, method = name.partition(", ")
    return int(mib) if mib.isdigit() else 0, [*METHODS].index(method)


def method_sentences(results: Results) -> list[str]:
    """Ours against the published method at each budget, over all test clips."""
    groups = [*VOICES, DIGITS]
    found = []
    for mib in sorted({cell.mib for cell in results} - {0}):
        mine = results.get(Cell(OURS, mib, "anyone"))
        for name, method in METHODS.items():
            theirs = results.get(Cell(name, mib, "anyone"))
            if mine is None or theirs is None or method.planner != "myqasr":
                continue
            change = difference(counts_of(mine.words, groups), counts_of(theirs.words, groups))
            found.append(
                f"{mib}: ours minus {name} is "
                f"{percent(change.value, change.interval, '+')} points of WER{_verdict(change)}."
            )
    return found


def voice_rows(results: Results) -> list[list[str]]:
    """Same against other voices, for each method and budget, tested on both."""
    rows = []
    for name, method in METHODS.items():
        if not method.compares_voices:
            continue
        for mib in sorted({cell.mib for cell in results} - {0}):
            files = {who: results.get(Cell(name, mib, who)) for who in VOICES}
            if any(row is None for row in files.values()):
                continue
            for tested in VOICES:
                (other,) = {*VOICES} - {tested}
                pair = [files[tested], files[other]]
                line = [f"{mib}, {name}, {VOICES[tested]}"]
                for counts in ("words", "characters"):
                    same, strange = (counts_of(getattr(row, counts), [tested]) for row in pair)
                    change = difference(same, strange)
                    line += [str(rate(same)), str(rate(strange))]
                    line += [percent(change.value, change.interval, "+") + _verdict(change)]
                rows.append(line)
    return rows


def _verdict(change: Rate) -> str:
    low, high = change.interval
    return "" if low <= 0 <= high else " (signal)"


def report(
    results: Results,
    people: Mapping[tuple[str, str], int],
    clips: int,
    calibrating: int,
    eight: int,
    eight_mib: int,
    machine: str,
) -> str:
    """The section of RESULTS.md.

    Args:
        people: how many there are of each voice and part.
        clips: test sequences of each kind.
        calibrating: sequences that calibrate.
        eight: bytes of the file with 8 bits everywhere.
        eight_mib: what that is in the source work, in MiB.
    """
    groups = ", ".join(
        f"{people[who, 'train']} people with {title} to calibrate and {people[who, 'test']} to test"
        for who, title in VOICES.items()
    )
    parts = [
        "## Word errors of a wav2vec 2.0 at every budget",
        f"""`python -m benchmarks.wav2vec2_words --data FOLDER`: the model of `models/wav2vec2-en`,
greedy, without a language model. A budget is the same part of the file with 8 bits everywhere
({eight:,} bytes) as the source work's MiB are of its {eight_mib}; all sizes are those of files.
{calibrating} sequences of training takes and people calibrate. Tested are {clips} sequences of
three to seven words of each kind: commands of held-out people with low voices, the same with high
voices, and test takes of the digits. `ours` is one analysis and an optimal plan for each budget.
`myQASR` is the published method, written from its description: descending medians, a cosine search
for ranges, nearest rounding, activations with as many bits as the weights; `8-bit inputs` gives
these 8 bits always. Error rates in percent, 95 % intervals over clips; differences are paired by
clip. {machine}.""",
        table(
            [
                *("budget, method", "bytes", "WER", "CER"),
                *(f"WER, {title}" for title in VOICES.values()),
                "WER, digits",
            ],
            budget_rows(results),
        ),
        "\n".join(f"- {each}" for each in method_sentences(results)),
        "### Calibrated on low and on high voices",
        f"""The corpora name nobody's gender, so voices are told apart by their median pitch: below
{LOW:.0f} Hz low, above {HIGH:.0f} Hz high, the rest left out ({groups}). On the 28 speakers of
LibriSpeech, whose gender is known, these bounds call no woman low and no man high. `same` was
calibrated on voices as are tested, `other` on the others; so `same` of one row and `other` of the
next are one file, and where that is bad for both voices, its plan is bad, and not its voices. A
difference is called signal where its interval excludes 0; it knows nothing of which clips happened
to calibrate.""",
        table(
            [
                *("budget, method, tested", "WER, same", "WER, other", "difference"),
                *("CER, same", "CER, other", "difference"),
            ],
            voice_rows(results),
        ),
    ]
    return "\n\n".join(parts)
