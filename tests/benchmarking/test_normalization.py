"""How texts are compared, and what a report says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.benchmarking.baseline import Baseline, read_baseline, write_baseline
from quantkit.benchmarking.figures import figures_of
from quantkit.benchmarking.gate import compare
from quantkit.benchmarking.run import run_bench
from quantkit.benchmarking.schema import BenchReport
from quantkit.benchmarking.settings import BenchSettings
from quantkit.errors import FormatError
from quantkit.text.labels import Labels
from quantkit.text.segmentation import Segmentation

pytestmark = pytest.mark.slow

Bench = Callable[..., BenchReport]


@pytest.fixture
def bench(quick: BenchSettings, make_model: Callable[..., Path]) -> Bench:
    """Measure a model that writes two labels, one after the other, of a clip with a transcript."""

    def run(labels: Labels, text: str, normalization: str = "", language: str = "") -> BenchReport:
        features = np.zeros((6, 40), np.float32)
        features[[0, 1, 3, 4], [1, 1, 2, 2]] = 1.0
        features[[2, 5], 0] = 1.0
        clip = Utterance(None, text, features=features, name="clip", language=language)
        settings = replace(quick, normalization=normalization, batch_sizes=(1,), sweep_utterances=0)
        return run_bench([make_model("m", labels=labels)], Corpus("c", (clip,)), settings)

    return run


def test_scripts_without_spaces_have_no_word_error_rate_and_the_report_says_so(
    bench: Bench,
) -> None:
    report = bench(Labels(("_", "你", "好", " ")), "你 好！")
    (model,) = report.models
    assert (model.cer, model.wer) == (0.0, None)
    assert any("written in Chinese characters" in note for note in report.notes)


@pytest.mark.parametrize(
    ("normalization", "hypothesis", "told"), [("published", "क", True), ("basic", "कि", False)]
)
def test_vowel_signs_that_the_normalization_erases_are_told(
    bench: Bench, normalization: str, hypothesis: str, told: bool
) -> None:
    report = bench(Labels(("_", "क", "ि", " ")), "कि", normalization, "hi")
    assert report.normalization == normalization
    assert report.models[0].utterances[0].hypothesis == hypothesis
    assert any("--normalize basic" in note for note in report.notes) == told


def test_the_loss_is_over_pieces_and_the_report_says_how_words_are_cut(bench: Bench) -> None:
    tokens = ("_", " the", " cats", " ")
    report = bench(Labels(tokens), "The cats!")
    (model,) = report.models
    assert (model.wer, model.utterances[0].hypothesis) == (0.0, "the cats")
    assert model.loss is not None
    assert any("the longest piece is taken first" in note for note in report.notes)
    cut = Segmentation("unigram", (0.0, -1.0, -1.0, -1.0))
    scored = bench(Labels(tokens, segmentation=cut), "The cats!")
    assert any("cut as the model's tokenizer cuts them" in note for note in scored.notes)


def test_a_stricter_comparison_counts_case_and_still_has_a_loss(bench: Bench) -> None:
    labels = Labels(("_", "a", "b", " "))
    own, strict = bench(labels, "AB"), bench(labels, "AB", "none")
    assert (own.normalization, own.models[0].levenshtein) == ("labels", 0.0)
    assert (strict.normalization, strict.models[0].levenshtein) == ("none", 2.0)
    assert strict.models[0].loss == own.models[0].loss


def test_runs_under_different_normalizations_are_not_compared(bench: Bench, tmp_path: Path) -> None:
    labels = Labels(("_", "a", "b", " "))
    own = figures_of(bench(labels, "ab").to_json(), "bench.json")
    write_baseline(Baseline(own), tmp_path / "baseline.json")
    accepted = read_baseline(tmp_path / "baseline.json")
    assert compare(own, accepted).passed
    strict = figures_of(bench(labels, "ab", "none").to_json(), "bench.json")
    with pytest.raises(FormatError, match="normalization 'none', the baseline under 'labels'"):
        compare(strict, accepted)
    # Baselines of before do not say it.
    assert compare(strict, Baseline(replace(own, normalization=""))).passed
