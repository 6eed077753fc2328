"""The study of planning methods: its cells, one of them measured, and what breaks a promise."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import charts, plan_methods, plan_methods_report
from benchmarks.plan_methods_report import SHORT, Cell, Row, broken_promises, report, short_report
from quantkit.graph.artifact import save_model
from tests.small_model import masked_convolutions


def row(edits: list[int], change: float = 0.0) -> Row:
    figures = [0.0] * 2 + [change] + [0.0] * 3
    written = " ".join(map(str, edits))
    return Row(1000, 1000, 20.0, *figures, "int8", 0.1, 0.2, written)


def test_every_width_has_the_same_methods_and_no_cell_stands_twice() -> None:
    cells = plan_methods.cells()
    assert len(set(cells)) == len(cells)
    lines = Counter(cell.line for cell in cells)
    assert set(lines.values()) == {len(plan_methods.WIDTHS)}
    assert {"uniform", "optimal", "optimal, all codecs", "linear descending"} < set(lines)
    assert "myqasr ascending, hessian, activations as weights" in lines


def test_promises_are_kept_by_noise_and_broken_by_what_is_measurably_worse() -> None:
    clips = list(range(10, 60))
    noisy = [edits + (1 if i % 2 else -1) for i, edits in enumerate(clips)]
    worse = [edits + 2 for edits in clips]
    rivals = {Cell(4, "uniform"): row(clips), Cell(3, "uniform"): row(noisy)}
    kept = {Cell(4, "optimal"): row(noisy), Cell(4, "optimal", codec="any"): row(clips)}
    assert broken_promises(kept | rivals) == []
    (broken,) = broken_promises({Cell(4, "optimal"): row(worse)} | rivals)
    assert broken.startswith("optimal at 4 bits is worse than uniform by 5.8% [5.8%, 5.8%]")
    # Only codecs of the same kind compete with a plan that may use one kind alone.
    better = {Cell(4, "optimal", codec="any"): row([edits - 2 for edits in clips])}
    assert broken_promises({Cell(4, "optimal"): row(clips)} | better) == []


@pytest.mark.parametrize(("width", "limit"), [(4, 0.03), (3, 0.08)])
def test_promised_change_of_the_best_plan(width, limit) -> None:
    cell = Cell(width, "optimal", codec="any")
    assert broken_promises({cell: row([1, 2], limit)}) == []
    (broken,) = broken_promises({cell: row([1, 2], limit + 0.001)})
    assert f"promised is at most +{limit:.0%}" in broken


def test_report_has_methods_by_widths() -> None:
    results = {
        Cell(4, "uniform"): row([1], 0.02),
        Cell(8, "uniform"): row([1], 0.01),
        Cell(8, "optimal"): row([1]),
    }
    section = report(results, "About.")
    assert "| method | 4 bits | 8 bits |" in section
    assert "| uniform | +2.0% [+0.0%, +0.0%] | +1.0% [+0.0%, +0.0%] |" in section
    assert "| optimal | – | +0.0% [+0.0%, +0.0%] |" in section


def test_short_table_has_whole_widths_and_the_plans_that_people_compare() -> None:
    results = {
        Cell(3, "uniform"): row([1], 0.02),
        Cell(3.5, "uniform"): row([1], 0.015),
        Cell(4, "optimal", codec="any"): row([1], 0.001),
        Cell(4, "shuffled", "ascending"): row([1], 0.03),
    }
    lines = short_report(results).splitlines()
    assert lines[0] == "| plan | 3 bits, 0.0 MB | 4 bits, 0.0 MB |"
    assert f"| {SHORT['uniform']} | +2.0% | – |" in lines
    assert f"| {SHORT['optimal, all codecs']} | – | +0.1% |" in lines
    assert set(SHORT) <= {cell.line for cell in plan_methods.cells()}


@pytest.mark.slow
def test_plot_is_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(folder: Path) -> str:
        lines = {"uniform": [(2, 1.0, 0.5, 2.0), (4, 0.5, 0.4, 0.6)], "optimal": [(2, 0.3, 0.3, 1)]}
        panel = charts.Panel("Edits", "bits", "change", lines, logarithmic=True)
        return charts.write_lines("demo", [panel, panel], folder).read_text()

    assert drawn(tmp_path / "a") == drawn(tmp_path / "b")
    assert ">optimal</text>" in drawn(tmp_path / "a")
    monkeypatch.setattr(charts.write_lines, "__defaults__", (tmp_path,))
    figures = replace(row([1]), divergence=0.5)
    results = {Cell(width, "uniform"): figures for width in (2, 4)}
    assert plan_methods_report.draw(results) == tmp_path / "plan-methods.svg"


@pytest.fixture
def measure(tmp_path: Path) -> plan_methods.Measure:
    """The study of a small model and of noise in the place of speech."""
    source = tmp_path / "float32.onnx"
    save_model(masked_convolutions(width=2), source)
    folder = tmp_path / "data" / "librispeech"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    lines = ["path\tsplit\tspeaker\tgender\tlanguage\tseconds\ttext"]
    for i, split in enumerate(["train"] * 2 + ["dev"] * 3):
        soundfile.write(folder / f"{i}.wav", random.uniform(-0.3, 0.3, 8_000), 16_000)
        lines.append(f"{i}.wav\t{split}\t{i}\tf\ten\t0.5\tabba deed")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return plan_methods.Measure(
        source, tmp_path / "sensitivity.json", tmp_path / "data", clips=2, seed=0
    )


@pytest.mark.slow
def test_cells_are_measured_at_equal_bytes(
    measure: plan_methods.Measure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_methods, "STUDIES", tmp_path)
    plan_methods.analyze_once(measure)
    uniform, published, optimal = (
        measure(cell)
        for cell in (
            Cell(3, "uniform"),
            Cell(3, "myqasr", "descending", fitting="min-max", activations="weights"),
            Cell(3, "optimal"),
        )
    )
    assert uniform.layers == " ".join(["bitplane:3"] * 6)
    for found in (uniform, published, optimal):
        assert found.bytes <= found.budget == uniform.budget
        assert found.bytes > 0.8 * found.budget
        assert len(found.edits.split()) == 2
        assert found.change_low <= found.change <= found.change_high
    assert optimal.divergence <= uniform.divergence < published.divergence
