"""What the study of personalisation measures, and how it is compared, written and drawn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.charts import Bars, Panel, write_bars, write_lines
from benchmarks.results import table
from quantkit.report.formatting import Interval
from quantkit.text.distances import bootstrap_interval

Edits = npt.NDArray[np.float64]

GENDERS: Mapping[str, str] = {"f": "women", "m": "men"}
#: The parts in which speakers are told apart, and what their clips are called.
SPEAKER_PARTS: Mapping[str, str] = {"digits": "digits", "commands": "speech commands"}
#: What was heard, seen from those who are tested.
RELATIONS = ("same", "other", "synthetic", "none")


@dataclass(frozen=True)
class Cell:
    """One file, which all who are tested in its part share.

    Args:
        part: ``gender``, ``digits``, ``commands`` or ``clips``.
        method: ``optimal``, ``myqasr``, ``uniform``, or ``float32`` for the source.
        budget: bytes that the file may take; 0 for the source.
        heard: gender or speaker whose clips calibrate; ``anyone``, ``synthetic``, or ``none``.
        clips: of them, at most.
        seed: of the sample of clips.
    """

    part: str
    method: str
    budget: int
    heard: str
    clips: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Row:
    """What became of it.

    Args:
        bytes: of the file.
        clips: that calibrated; some have fewer than were asked for.
        edits: Levenshtein distance of each test clip, by group, as JSON. A group is a gender or
            a speaker.
        divergence: of the posteriors by group, in nats per frame, as JSON.
        listen_seconds, plan_seconds, quantize_seconds: of personalising; 0 where nobody was heard.
    """

    bytes: int
    clips: int
    edits: str
    divergence: str
    listen_seconds: float = 0.0
    plan_seconds: float = 0.0
    quantize_seconds: float = 0.0


Results = Mapping[Cell, Row]


def relation(heard: str, tested: str) -> str:
    """One of :data:`RELATIONS`.

    >>> relation("f", "m")
    'other'
    """
    if heard in ("none", "synthetic"):
        return heard
    return "same" if heard == tested else "other"


def tested_groups(results: Results, part: str) -> list[str]:
    """The genders or speakers whose clips the files of ``part`` are tested on."""
    return next((list(edits_of(row)) for cell, row in results.items() if cell.part == part), [])


def edits_of(row: Row) -> dict[str, Edits]:
    """Edits of each test clip, by group."""
    return {group: np.array(edits, float) for group, edits in json.loads(row.edits).items()}


def pooled_edits(rows: Iterable[tuple[Cell, Row]], tested: Sequence[str], who: str) -> Edits:
    """Edits of each test clip of all groups, averaged over the files that stand in a relation.

    Args:
        rows: of one part, method and budget.
        tested: groups, in the order in which their clips come.
        who: one of :data:`RELATIONS`, seen from each group.

    Returns:
        (clips,); no clips where some group has no such file.
    """
    pairs = list(rows)
    parts: list[Edits] = []
    for group in tested:
        files = [edits_of(row)[group] for cell, row in pairs if relation(cell.heard, group) == who]
        if not files:
            return np.zeros(0)
        parts.append(np.mean(files, axis=0))
    return np.concatenate(parts) if parts else np.zeros(0)


def pooled_divergence(rows: Iterable[tuple[Cell, Row]], tested: Sequence[str], who: str) -> float:
    """Mean over groups of the divergence of the files that stand in a relation; NaN for none."""
    pairs = list(rows)
    found = [
        json.loads(row.divergence)[group]
        for group in tested
        for cell, row in pairs
        if relation(cell.heard, group) == who
    ]
    return float(np.mean(found)) if found else float("nan")


@dataclass(frozen=True)
class Comparison:
    """Same against other, paired by clip.

    Args:
        name: who, at which size, by which method.
        same, other: mean edits per clip.
        interval: 95 % bootstrap interval over clips of the mean of same minus other.
        wins, ties, of: in how many of all ``units`` same makes fewer edits, or as many.
        units: seeds or speakers.
    """

    name: str
    same: float
    other: float
    interval: Interval
    wins: int
    ties: int
    of: int
    units: str

    @property
    def is_signal(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval[0] > 0 or self.interval[1] < 0

    @property
    def sentence(self) -> str:
        """For people."""
        low, high = self.interval
        difference = self.same - self.other
        if not self.is_signal:
            verdict = "noise: the interval holds 0"
        elif difference < 0:
            verdict = "signal: the same is better"
        else:
            verdict = "signal: the other is better"
        ties = f" and ties in {self.ties}" if self.ties else ""
        units = self.units.removesuffix("s") if self.of == 1 else self.units
        return (
            f"{self.name}: {self.same:.2f} edits a clip calibrated on the same, {self.other:.2f} "
            f"on the other, {difference:+.2f} [{low:+.2f}, {high:+.2f}]. **{verdict}**; the same "
            f"wins in {self.wins} of {self.of} {units}{ties}."
        )


def compare(
    name: str, same: Edits, other: Edits, units: Sequence[tuple[float, float]], unit: str
) -> Comparison:
    """Same against other.

    Args:
        same, other: (clips,) edits of the same clips in the same order.
        units: mean edits of same and of other for each seed or speaker.
        unit: what these are, in the plural.
    """
    return Comparison(
        name,
        float(same.mean()),
        float(other.mean()),
        bootstrap_interval(same - other),
        sum(one < two for one, two in units),
        sum(one == two for one, two in units),
        len(units),
        unit,
    )


def gender_comparisons(results: Results) -> list[Comparison]:
    """Same against other gender, for each gender and both, method and budget."""
    groups = tested_groups(results, "gender")
    found = []
    for method, budget, rows in _settings(results, "gender"):
        for tested in (*([group] for group in groups), groups):
            same, other = (pooled_edits(rows, tested, who) for who in ("same", "other"))
            if not (same.size and other.size):
                continue
            seeds = sorted({c.seed for c, _ in rows if c.heard in GENDERS})
            by_seed = []
            for seed in seeds:
                of_seed = [(c, r) for c, r in rows if c.seed == seed]
                pair = [pooled_edits(of_seed, tested, who) for who in ("same", "other")]
                if all(each.size for each in pair):
                    by_seed.append((float(pair[0].mean()), float(pair[1].mean())))
            names = " and ".join(GENDERS[group] for group in tested)
            name = f"{names}, {budget / 1e6:g} MB, {method}"
            found.append(compare(name, same, other, by_seed, "seeds"))
    return found


def speaker_comparisons(results: Results) -> list[Comparison]:
    """Same against other speakers, pooled over the speakers of a part, for each budget."""
    found = []
    for part, title in SPEAKER_PARTS.items():
        groups = tested_groups(results, part)
        for method, budget, rows in _settings(results, part):
            same, other = (pooled_edits(rows, groups, who) for who in ("same", "other"))
            if not (same.size and other.size):
                continue
            by_speaker = [
                (
                    float(pooled_edits(rows, [group], "same").mean()),
                    float(pooled_edits(rows, [group], "other").mean()),
                )
                for group in groups
            ]
            name = f"{title}, {budget / 1e6:g} MB, {method}"
            found.append(compare(name, same, other, by_speaker, "speakers"))
    return found


def summary_sentence(comparisons: Sequence[Comparison]) -> str:
    """How many comparisons are signal, and how many chance alone would make look like it."""
    better = sum(each.is_signal and each.same < each.other for each in comparisons)
    worse = sum(each.is_signal and each.same > each.other for each in comparisons)
    return (
        f"Of {len(comparisons)} comparisons of same against other, {better} are signal for the "
        f"same, {worse} signal for the other, {len(comparisons) - better - worse} noise. Chance "
        f"alone makes about {0.05 * len(comparisons):.1f} of so many look like signal."
    )


def report(results: Results, about: str) -> str:
    """The section of RESULTS.md."""
    genders, speakers = gender_comparisons(results), speaker_comparisons(results)
    parts = ["## Whose audio matters", about, summary_sentence([*genders, *speakers])]
    parts += ["### Gender: change of the mean Levenshtein distance against float32 [95 %]"]
    parts += [
        "`optimal` is the mean of its seeds. `none` is the most bits that fit, the same for all "
        "layers, so its plan differs, too; `synthetic` differs from `same` by the audio only.",
        "![](plots/personalisation-gender.svg)",
        _gender_table(results),
        _bullets(genders),
    ]
    parts += ["### Speakers: exact transcripts [95 %], mean Levenshtein distance, divergence"]
    parts += ["![](plots/personalisation-speaker.svg)", _speaker_table(results), _bullets(speakers)]
    parts += ["### How many clips are enough, and how long that takes"]
    parts += ["![](plots/personalisation-clips.svg)", _clips_table(results)]
    return "\n\n".join(parts)


def draw(results: Results) -> list[Path]:
    """The plots of the section."""
    return [
        write_lines("personalisation-gender", _gender_panels(results)),
        write_bars("personalisation-speaker", _speaker_bars(results)),
        write_lines("personalisation-clips", _clips_panels(results)),
    ]


def _settings(results: Results, part: str) -> list[tuple[str, int, list[tuple[Cell, Row]]]]:
    """Methods and budgets that hear somebody, each with its rows and those that hear nobody."""
    mine = [(c, r) for c, r in results.items() if c.part == part and c.method != "float32"]
    pairs = sorted({(c.method, c.budget) for c, _ in mine if c.heard != "none"}, reverse=True)
    return [
        (method, budget, [(c, r) for c, r in mine if c.budget == budget and c.method == method])
        for method, budget in sorted(pairs, key=lambda pair: (pair[0] != "optimal", pair))
    ]


def _float_edits(results: Results, part: str, tested: Sequence[str]) -> Edits:
    rows = [row for c, row in results.items() if (c.part, c.method) == (part, "float32")]
    if not rows:
        return np.zeros(0)
    edits = edits_of(rows[0])
    return np.concatenate([edits[group] for group in tested])


def _change(edits: Edits, before: Edits) -> tuple[float, float, float]:
    """Relative to the mean of ``before``, with its interval, paired by clip."""
    mean = max(float(before.mean()), 1e-9)
    low, high = bootstrap_interval(edits - before)
    return float((edits - before).mean()) / mean, low / mean, high / mean


def _lines(results: Results, part: str) -> list[tuple[str, str]]:
    """Methods and relations that have files in ``part``, as tables list them."""
    groups = tested_groups(results, part)
    found = {
        (cell.method, relation(cell.heard, group))
        for cell in results
        if cell.part == part and cell.method != "float32"
        for group in groups
    }
    order = ("optimal", "myqasr", "uniform")
    return sorted(found, key=lambda each: (order.index(each[0]), RELATIONS.index(each[1])))


def _at(results: Results, part: str, method: str, budget: int) -> list[tuple[Cell, Row]]:
    wanted = (part, method, budget)
    return [(c, r) for c, r in results.items() if (c.part, c.method, c.budget) == wanted]


def _budgets(results: Results, part: str) -> list[int]:
    return sorted({cell.budget for cell in results if cell.part == part} - {0})


def _gender_table(results: Results) -> str:
    budgets, rows = _budgets(results, "gender"), []
    for group in tested_groups(results, "gender"):
        before = _float_edits(results, "gender", [group])
        for method, who in _lines(results, "gender"):
            line = [f"{GENDERS[group]}, {method}, {who}"]
            for budget in budgets:
                edits = pooled_edits(_at(results, "gender", method, budget), [group], who)
                line.append(_percent(*_change(edits, before)) if edits.size else "–")
            rows.append(line)
    return table(["tested, method, calibrated on", *(f"{b / 1e6:g} MB" for b in budgets)], rows)


def _gender_panels(results: Results) -> list[Panel]:
    panels = []
    for group in tested_groups(results, "gender"):
        lines: dict[str, list[tuple[float, float, float, float]]] = {}
        for method, who in _lines(results, "gender"):
            for budget in _budgets(results, "gender"):
                edits = pooled_edits(_at(results, "gender", method, budget), [group], who)
                if edits.size:
                    point = (budget / 1e6, float(edits.mean()), *bootstrap_interval(edits))
                    lines.setdefault(f"{method}, {who}", []).append(point)
        title = f"LibriSpeech, {GENDERS[group]}"
        panels.append(Panel(title, "budget, MB", "edits per clip", lines, logarithmic=True))
    return panels


def _speaker_table(results: Results) -> str:
    rows = []
    for part, title in SPEAKER_PARTS.items():
        groups = tested_groups(results, part)
        before = _float_edits(results, part, groups)
        if before.size:
            rows.append([f"{title}, float32", *_exact_and_mean(before), "–"])
        for budget in _budgets(results, part):
            for method, who in _lines(results, part):
                files = _at(results, part, method, budget)
                edits = pooled_edits(files, groups, who)
                if not edits.size:
                    continue
                moved = pooled_divergence(files, groups, who)
                name = f"{title}, {budget / 1e6:g} MB, {method}, {who}"
                exact = _pooled_exact(files, groups, who)
                rows.append([name, *_exact_and_mean(edits, exact), f"{moved:.4f}"])
    header = ["clips, size, method, calibrated on", "exact", "mean Levenshtein", "nats per frame"]
    return table(header, rows)


def _pooled_exact(files: Sequence[tuple[Cell, Row]], tested: Sequence[str], who: str) -> Edits:
    """(clips,): in which share of the files each clip is transcribed without an edit."""
    parts = [
        np.mean(
            [edits_of(r)[group] == 0 for c, r in files if relation(c.heard, group) == who], axis=0
        )
        for group in tested
    ]
    return np.concatenate(parts)


def _exact_and_mean(edits: Edits, exact: Edits | None = None) -> list[str]:
    exact = (edits == 0).astype(float) if exact is None else exact
    low, high = bootstrap_interval(exact)
    below, above = bootstrap_interval(edits)
    return [
        f"{exact.mean():.1%} [{low:.1%}, {high:.1%}]",
        f"{edits.mean():.3f} [{below:.3f}, {above:.3f}]",
    ]


def _speaker_bars(results: Results) -> list[Bars]:
    """Accuracy of each speaker at the smallest size, where differences are largest."""
    charts = []
    for part, title in SPEAKER_PARTS.items():
        groups, budget = tested_groups(results, part), min(_budgets(results, part), default=0)
        bars: dict[str, list[tuple[float, float, float]]] = {}
        for method, who in _lines(results, part):
            files = _at(results, part, method, budget)
            for group in groups:
                exact = 100 * _pooled_exact(files, [group], who)
                bars.setdefault(f"{method}, {who}", []).append(
                    (float(exact.mean()), *bootstrap_interval(exact))
                )
        if bars:
            title = f"{title.capitalize()}, {budget / 1e6:g} MB"
            charts.append(Bars(title, "exact transcripts, %", groups, bars))
    return charts


def _by_count(results: Results) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for cell, row in results.items():
        if cell.part == "clips" and cell.method == "optimal":
            found.setdefault(cell.clips, []).append(row)
    return dict(sorted(found.items()))


def _all_edits(row: Row) -> Edits:
    return np.concatenate(list(edits_of(row).values()))


def _clips_table(results: Results) -> str:
    before = _float_edits(results, "clips", tested_groups(results, "clips"))
    rows = []
    for count, files in _by_count(results).items():
        edits = [_all_edits(row) for row in files]
        changes = [float(each.mean()) / float(before.mean()) - 1 for each in edits]
        moved = [np.mean(list(json.loads(row.divergence).values())) for row in files]
        seconds = [
            np.mean([getattr(row, f"{step}_seconds") for row in files])
            for step in ("listen", "plan", "quantize")
        ]
        rows.append(
            [
                str(count),
                _percent(*_change(np.mean(edits, axis=0), before)),
                f"{min(changes):+.1%} … {max(changes):+.1%}",
                f"{np.mean(moved):.4f}",
                *(f"{each:.1f}" for each in (*seconds, sum(seconds))),
            ]
        )
    header = ["clips", "change of Levenshtein [95 %]", "seeds", "nats per frame"]
    return table([*header, "listen, s", "plan, s", "quantize, s", "all, s"], rows)


def _clips_panels(results: Results) -> list[Panel]:
    before = _float_edits(results, "clips", tested_groups(results, "clips"))
    changes: list[tuple[float, float, float, float]] = []
    seconds: list[tuple[float, float, float, float]] = []
    for count, files in _by_count(results).items():
        mean, low, high = _change(np.mean([_all_edits(row) for row in files], axis=0), before)
        changes.append((count, 100 * mean, 100 * low, 100 * high))
        spent = [r.listen_seconds + r.plan_seconds + r.quantize_seconds for r in files]
        seconds.append((count, float(np.mean(spent)), min(spent), max(spent)))
    x_label = "calibration clips"
    return [
        Panel("Edit distance", x_label, "change against float32, %", {"optimal": changes}),
        Panel("Time", x_label, "seconds", {"optimal": seconds}),
    ]


def _bullets(comparisons: Sequence[Comparison]) -> str:
    return "\n".join(f"- {each.sentence}" for each in comparisons)


def _percent(value: float, low: float, high: float) -> str:
    return f"{value:+.1%} [{low:+.1%}, {high:+.1%}]"
