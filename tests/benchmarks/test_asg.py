"""What the table of the two criteria says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.asg import CODECS, PUBLISHED, SMALL, Divergence, Row, correlations, report
from benchmarks.shipped_model import Score
from quantkit.benchmarking.accuracy import Accuracy
from quantkit.codecs.catalogue import CodecChoice
from quantkit.training.recipe import load_recipe


def _row(criterion: str, change: float, *figures: float) -> Row:
    accuracy = Accuracy(cer=0.2, cer_ci=(0.1, 0.3), wer=0.4)
    score = Score("some", accuracy, change, (change - 0.1, change + 0.1))
    divergence = Divergence(*figures) if figures else None
    return Row(criterion, "int8", Path("some.onnx"), score, divergence)


def test_every_form_is_a_codec() -> None:
    assert [str(CodecChoice.parse(codec)) for codec in CODECS] == [*CODECS]


def test_each_divergence_is_ranked_against_the_edits() -> None:
    rows = [
        _row("asg", 0.0),
        _row("asg", 0.1, 0.01, 0.03, 0.01),
        _row("asg", 0.2, 0.02, 0.02, 0.03),
        _row("asg", 0.3, 0.03, 0.01, 0.02),
    ]
    np.testing.assert_allclose(correlations(rows), (1.0, -1.0, 0.5))


def test_the_section_names_both_criteria(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.asg.total_size", lambda path: 300_000)
    rows = [_row(c, 0.0) for c in ("ctc", "asg")] + [_row("asg", 0.1, 0.01, 0.03, 0.02)] * 3
    said = report(rows, 9, 300)
    assert "trained twice for 9\nsteps" in said
    assert "| CTC | `int8` | 0.30 | 20.0% [10.0%, 30.0%] | 40.0% | – |" in said
    assert "| +10.0% [+0.0%, +20.0%] | 0.0100 | 0.0300 | 0.0200 |" in said


def test_both_networks_are_trained_by_recipes_that_differ_in_the_criterion_alone(
    tmp_path: Path,
) -> None:
    for network, width in ((SMALL, 64), (PUBLISHED, 250)):
        path = tmp_path / "recipe.toml"
        recipes = []
        for criterion in ("ctc", "asg"):
            path.write_text(network.recipe(criterion, 40))
            recipes.append(load_recipe(path))
        one, other = recipes
        assert one.model.width == width
        assert {source.name for source in one.sources} == {*network.corpora}
        assert one.stages[0].repeats == dict.fromkeys(network.corpora, 1.0)
        assert replace(one, criterion="asg") == other


def test_a_network_with_several_tests_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.asg.total_size", lambda path: 300_000)
    rows = [_row(c, 0.0) for c in ("ctc", "asg")] + [_row("asg", 0.1, 0.01, 0.03, 0.02)] * 3
    rows = [replace(row, test="librispeech") for row in rows]
    said = report(rows, 9, 300, PUBLISHED)
    assert "`librispeech` (dev), `digits` (test)" in said
    assert "| CTC | librispeech | `int8` | 0.30 |" in said
