"""The gate fails on real damage, not on noise, and refuses to compare what is not comparable."""

from __future__ import annotations

import json
import random
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from quantkit.benchmarking.baseline import Baseline, Tolerance, read_baseline, write_baseline
from quantkit.benchmarking.figures import read_figures
from quantkit.benchmarking.gate import compare
from quantkit.benchmarking.gate_report import junit_xml, markdown
from quantkit.benchmarking.gate_result import Check, GateResult
from quantkit.errors import FormatError, GateFailed
from quantkit.text.distances import levenshtein

SENTENCES = [f"the {noun} number {i} is {kind}" for i, (noun, kind) in enumerate(
    (noun, kind) for noun in ("boat", "house", "river", "clock", "window")
    for kind in ("red", "very old", "quite near", "lost", "for sale", "too big", "under water",
                 "not mine")
)]  # fmt: skip


def misheard(sentences: Sequence[str], share: float, edits: int, seed: int) -> list[str]:
    """Hypotheses: ``share`` of the sentences have up to ``edits`` letters replaced."""
    generator = random.Random(seed)
    heard = []
    for sentence in sentences:
        letters = list(sentence)
        if generator.random() < share:
            for _ in range(edits):
                letters[generator.randrange(len(letters))] = "#"
        heard.append("".join(letters))
    return heard


def model(
    name: str,
    hypotheses: Sequence[str],
    *,
    references: Sequence[str] = SENTENCES,
    size: int = 1_000_000,
    speedup: float = 1.0,
    interval: tuple[float, float] | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "size_bytes": size,
        "speedup": speedup,
        "speedup_ci": list(interval) if interval else None,
        "utterances": [
            {"id": f"clip-{i:03}", "reference": r, "hypothesis": h, "distance": levenshtein(r, h)}
            for i, (r, h) in enumerate(zip(references, hypotheses, strict=True))
        ],
    }


def bench(*models: Mapping[str, Any], vnni: bool = True, **changes: Any) -> dict[str, Any]:
    return {
        "schema": "quantkit.bench/1",
        "host": {"cpu": "a CPU", "machine": "x86_64", "vnni": vnni, "onnxruntime": "1.31.1"},
        "corpus": {"name": "forty sentences"},
        "decoder": "greedy",
        "models": list(models),
        **changes,
    }


FLOAT = model("float32", misheard(SENTENCES, 0.5, 2, seed=1))
INT8 = model("int8", misheard(SENTENCES, 0.5, 2, seed=2), size=250_000, speedup=3.8)


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., GateResult]:
    """Hold one bench run against another as its baseline, both through their files."""

    def run(
        new: Mapping[str, Any],
        old: Mapping[str, Any] | None = None,
        tolerances: Mapping[str, Tolerance] | None = None,
    ) -> GateResult:
        (tmp_path / "new.json").write_text(json.dumps(new))
        (tmp_path / "old.json").write_text(json.dumps(old or bench(FLOAT, INT8)))
        figures = read_figures(tmp_path / "old.json")
        baseline = Baseline(figures, {**Baseline(figures).tolerances, **(tolerances or {})})
        write_baseline(baseline, tmp_path / "baseline.json")
        return compare(
            read_figures(tmp_path / "new.json"), read_baseline(tmp_path / "baseline.json")
        )

    return run


def check(result: GateResult, name: str, criterion: str) -> Check:
    return next(c for c in result.checks if (c.model, c.criterion) == (name, criterion))


class TestEditDistance:
    def test_the_same_run_passes_every_check(self, judge: Callable[..., GateResult]) -> None:
        result = judge(bench(FLOAT, INT8))
        assert [c.verdict for c in result.checks] == ["passed"] * 5
        result.require()

    def test_a_model_made_worse_on_a_fifth_of_the_utterances_fails(
        self, judge: Callable[..., GateResult]
    ) -> None:
        heard = [u["hypothesis"] for u in INT8["utterances"]]
        worse = [h if i % 5 else h[: len(h) // 2] for i, h in enumerate(heard)]
        result = judge(
            bench(FLOAT, {**model("int8", worse), "size_bytes": 250_000, "speedup": 3.8})
        )
        assert [(c.model, c.criterion) for c in result.failures] == [("int8", "levenshtein")]
        with pytest.raises(GateFailed, match=r"int8 levenshtein: .* above the limit"):
            result.require()

    def test_other_mistakes_of_the_same_number_are_noise(
        self, judge: Callable[..., GateResult]
    ) -> None:
        """Twenty models of equal quality: a 95 % interval lets at most a few of them fail."""
        failed = 0
        for seed in range(100, 120):
            twin = model("int8", misheard(SENTENCES, 0.5, 2, seed), size=250_000, speedup=3.8)
            failed += bool(judge(bench(FLOAT, twin)).failures)
        assert failed <= 2

    def test_worse_than_tolerated_but_within_noise_passes_and_says_so(
        self, judge: Callable[..., GateResult]
    ) -> None:
        heard = [u["hypothesis"] for u in INT8["utterances"]]
        one_bad = ["", *heard[1:]]
        result = judge(bench(FLOAT, model("int8", one_bad, size=250_000, speedup=3.8)))
        distance = check(result, "int8", "levenshtein")
        assert distance.current > distance.limit
        assert distance.verdict == "passed"
        assert "within noise" in distance.detail

    def test_a_sure_worsening_within_the_tolerance_passes(
        self, judge: Callable[..., GateResult]
    ) -> None:
        heard = [u["hypothesis"] + "#" for u in INT8["utterances"]]
        worse = bench(FLOAT, model("int8", heard, size=250_000, speedup=3.8))
        assert check(judge(worse), "int8", "levenshtein").verdict == "failed"
        wide = judge(worse, tolerances={"levenshtein": Tolerance(0.0, absolute=1.0)})
        assert check(wide, "int8", "levenshtein").verdict == "passed"

    def test_a_better_model_passes_and_suggests_an_update(
        self, judge: Callable[..., GateResult]
    ) -> None:
        result = judge(bench(FLOAT, model("int8", SENTENCES, size=250_000, speedup=3.8)))
        assert "consider --update" in check(result, "int8", "levenshtein").detail

    def test_the_order_of_utterances_does_not_matter(
        self, judge: Callable[..., GateResult]
    ) -> None:
        turned = [{**m, "utterances": m["utterances"][::-1]} for m in (FLOAT, INT8)]
        assert not judge(bench(*turned)).failures


class TestSizeAndSpeed:
    def test_a_larger_file_fails_beyond_half_a_percent(
        self, judge: Callable[..., GateResult]
    ) -> None:
        assert not judge(bench(FLOAT, {**INT8, "size_bytes": 251_250})).failures
        result = judge(bench(FLOAT, {**INT8, "size_bytes": 251_251}))
        assert [c.criterion for c in result.failures] == ["size_bytes"]

    def test_a_slow_kernel_fails(self, judge: Callable[..., GateResult]) -> None:
        result = judge(bench(FLOAT, {**INT8, "speedup": 0.9}))
        assert [c.criterion for c in result.failures] == ["speedup"]
        assert "3.80× → 0.90×" in result.failures[0].detail

    def test_recorded_intervals_widen_the_limit(self, judge: Callable[..., GateResult]) -> None:
        slower = {**INT8, "speedup": 2.7}
        assert judge(bench(FLOAT, slower)).failures
        result = judge(bench(FLOAT, {**slower, "speedup_ci": [2.3, 3.1]}))
        assert not result.failures
        assert "within noise" in check(result, "int8", "speedup").detail

    def test_speed_is_skipped_where_the_baselines_instructions_are_missing(
        self, judge: Callable[..., GateResult]
    ) -> None:
        result = judge(bench(FLOAT, {**INT8, "speedup": 1.1}, vnni=False))
        speed = check(result, "int8", "speedup")
        assert speed.verdict == "skipped"
        assert "lacks VNNI" in speed.detail
        assert not result.failures

    def test_the_first_model_has_no_speedup_to_judge(
        self, judge: Callable[..., GateResult]
    ) -> None:
        criteria = [c.criterion for c in judge(bench(FLOAT, INT8)).checks if c.model == "float32"]
        assert criteria == ["levenshtein", "size_bytes"]


class TestIncomparableRuns:
    def test_a_missing_utterance(self, judge: Callable[..., GateResult]) -> None:
        fewer = [{**m, "utterances": m["utterances"][1:]} for m in (FLOAT, INT8)]
        with pytest.raises(FormatError, match="1 are missing, such as 'clip-000'"):
            judge(bench(*fewer))

    def test_a_corrected_transcript_is_another_corpus(
        self, judge: Callable[..., GateResult]
    ) -> None:
        other = ["something else", *SENTENCES[1:]]
        models = [
            model(m["name"], [u["hypothesis"] for u in m["utterances"]], references=other)
            for m in (FLOAT, INT8)
        ]
        with pytest.raises(FormatError, match="ids are the same but transcripts differ"):
            judge(bench(*models))

    def test_another_decoder(self, judge: Callable[..., GateResult]) -> None:
        with pytest.raises(FormatError, match="decoded with 'beam 20', the baseline with 'greedy'"):
            judge(bench(FLOAT, INT8, decoder="beam 20"))

    def test_a_model_that_was_not_measured(self, judge: Callable[..., GateResult]) -> None:
        with pytest.raises(FormatError, match="gates 'int8', but the bench run has only float32"):
            judge(bench(FLOAT))

    def test_another_first_model(self, judge: Callable[..., GateResult]) -> None:
        with pytest.raises(FormatError, match=r"speed-ups .* against 'int8'"):
            judge(bench(INT8, FLOAT))

    def test_a_new_model_is_named_but_not_judged(self, judge: Callable[..., GateResult]) -> None:
        result = judge(bench(FLOAT, INT8, {**INT8, "name": "int4"}))
        assert result.ungated == ("int4",)
        assert "`--update` adds them" in markdown(result)


class TestBrokenFiles:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"models": []}, "contains no model"),
            ({"models": [INT8, INT8]}, "two models named 'int8'"),
            (
                {"models": [{**INT8, "size_bytes": "big"}]},
                "size_bytes must be a whole number",
            ),
            ({"models": [{**INT8, "speedup": 0}]}, "speedup must be at least 1e-09, not 0"),
            ({"models": [{**INT8, "utterances": []}]}, "corpus with transcripts"),
            (
                {"models": [FLOAT, {**INT8, "utterances": INT8["utterances"][1:]}]},
                "same utterances",
            ),
            ({"schema": "quantkit.bench/9"}, "schema 'quantkit.bench/9'"),
            ({"host": {}}, "vnni is missing"),
        ],
    )
    def test_a_bench_run_that_cannot_be_used(
        self, judge: Callable[..., GateResult], change: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(FormatError, match=message):
            judge({**bench(FLOAT, INT8), **change})

    @pytest.mark.parametrize(
        ("tolerances", "message"),
        [
            ({"levenshtein": {"relative": -0.1}}, "must be at least 0, not -0.1"),
            ({"cer": {"relative": 0.1}}, "'cer' is not a criterion"),
            ({"speedup": 0.25}, "speedup must be a table of named values, not 0.25"),
        ],
    )
    def test_a_baseline_with_impossible_tolerances(
        self, tmp_path: Path, tolerances: dict[str, Any], message: str
    ) -> None:
        path = tmp_path / "baseline.json"
        (tmp_path / "bench.json").write_text(json.dumps(bench(FLOAT)))
        write_baseline(Baseline(read_figures(tmp_path / "bench.json")), path)
        path.write_text(json.dumps({**json.loads(path.read_text()), "tolerances": tolerances}))
        with pytest.raises(FormatError, match=message):
            read_baseline(path)

    @pytest.mark.parametrize("stated", [0, 1e9, -1.0])
    def test_a_baseline_whose_mean_is_not_that_of_its_distances(
        self, tmp_path: Path, stated: float
    ) -> None:
        path = tmp_path / "baseline.json"
        (tmp_path / "bench.json").write_text(json.dumps(bench(INT8)))
        write_baseline(Baseline(read_figures(tmp_path / "bench.json")), path)
        content = json.loads(path.read_text())
        content["models"][0]["levenshtein"] = stated
        path.write_text(json.dumps(content))
        with pytest.raises(FormatError, match=r"levenshtein is .* mean of its distances is"):
            read_baseline(path)

    def test_no_baseline_yet(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match="--update"):
            read_baseline(tmp_path / "baseline.json")


class TestBaselineFile:
    def test_reading_returns_what_was_written(self, tmp_path: Path) -> None:
        (tmp_path / "bench.json").write_text(json.dumps(bench(FLOAT, INT8)))
        baseline = Baseline(
            read_figures(tmp_path / "bench.json"),
            {**Baseline(read_figures(tmp_path / "bench.json")).tolerances,
             "size_bytes": Tolerance(0.1, 5.0)},
            {"int8": {"speedup": Tolerance(0.5)}},
        )  # fmt: skip
        write_baseline(baseline, tmp_path / "baseline.json")
        assert read_baseline(tmp_path / "baseline.json") == baseline

    def test_a_tolerance_of_one_model_goes_before_the_general_one(self, tmp_path: Path) -> None:
        (tmp_path / "bench.json").write_text(json.dumps(bench(FLOAT, INT8)))
        figures = read_figures(tmp_path / "bench.json")
        baseline = Baseline(figures, model_tolerances={"int8": {"speedup": Tolerance(0.5)}})
        assert baseline.tolerance("int8", "speedup").relative == 0.5
        assert baseline.tolerance("float32", "speedup").relative == 0.25
        assert baseline.renewed(figures).tolerance("int8", "speedup").relative == 0.5


class TestReports:
    def test_junit_has_a_case_per_model_and_criterion(
        self, judge: Callable[..., GateResult]
    ) -> None:
        worse = {**INT8, "size_bytes": 300_000, "name": "int8"}
        root = ElementTree.fromstring(junit_xml(judge(bench(FLOAT, worse, vnni=False))))
        suite = root[0]
        assert root.tag == "testsuites"
        assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "1", "1")
        cases = {(c.get("classname"), c.get("name")): [e.tag for e in c] for c in suite}
        assert cases == {
            ("quantkit.gate.float32", "levenshtein"): ["system-out"],
            ("quantkit.gate.float32", "size_bytes"): ["system-out"],
            ("quantkit.gate.int8", "levenshtein"): ["system-out"],
            ("quantkit.gate.int8", "size_bytes"): ["failure"],
            ("quantkit.gate.int8", "speedup"): ["skipped"],
        }

    def test_names_cannot_break_xml_or_a_markdown_table(self) -> None:
        odd = Check("a|b\x00<i>.x", "size_bytes", "failed", 1, 2, 1, "1 → 2 & more\n]]>")
        result = GateResult((odd,), (), "c", 1)
        (case,) = ElementTree.fromstring(junit_xml(result)).iter("testcase")
        assert case.get("classname") == "quantkit.gate.a|b�<i>_x"
        row = markdown(result).splitlines()[-1]
        assert row.replace("\\|", "").count("|") == 7
        assert "<i>" not in row
