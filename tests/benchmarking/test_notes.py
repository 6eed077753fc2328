"""Notes about processors."""

from __future__ import annotations

from dataclasses import replace

from quantkit.benchmarking.notes import notes_on
from quantkit.benchmarking.schema import BenchReport
from quantkit.runtime.hosts import Hosts, IntegerLayer

SAFE = Hosts((IntegerLayer("conv", "QLinearConv", 64),))
WIDE = Hosts((IntegerLayer("conv", "QLinearConv", 127),))


def notes(report: BenchReport, *hosts: Hosts | None, flags: tuple[str, ...] = ()) -> str:
    models = [
        replace(model, hosts=found) for model, found in zip(report.models, hosts, strict=True)
    ]
    host = replace(report.host, flags=flags, vnni="avx512_vnni" in flags)
    return " ".join(notes_on(report.corpus, models, host, uncovered=0))


def test_models_that_agree_share_a_sentence(report: BenchReport) -> None:
    assert "good, bad: integer sums are exact on x86 with and" in notes(report, SAFE, SAFE)
    both = notes(report, SAFE, WIDE)
    assert "good: integer sums are exact on x86 with and" in both
    assert "bad: integer sums are exact on x86 with VNNI and on 64-bit ARM" in both


def test_where_it_matters_the_figures_are_doubted(report: BenchReport) -> None:
    assert "the figures of bad are those of sums" in notes(report, SAFE, WIDE, flags=("avx2",))
    assert "the figures of" not in notes(report, SAFE, WIDE, flags=("avx2", "avx512_vnni"))
    assert "the figures of" not in notes(report, SAFE, WIDE, flags=("asimd",))


def test_float_models_and_reports_of_before_say_nothing(report: BenchReport) -> None:
    assert "integer sums" not in notes(report, Hosts(()), None)


def test_a_model_that_decodes_otherwise_than_the_first_is_named(report: BenchReport) -> None:
    def said(decoders: dict[str, str]) -> str:
        found = notes_on(report.corpus, report.models, report.host, uncovered=0, decoders=decoders)
        return " ".join(found)

    other = {"good": "greedy", "bad": "greedy, windows of the clip and 1 s"}
    assert "bad decodes: greedy, windows of the clip and 1 s." in said(other)
    assert "decodes" not in said(dict.fromkeys(other, "greedy"))


def test_a_run_records_it(report: BenchReport) -> None:
    assert [model.hosts for model in report.models] == [Hosts(()), Hosts(())]
