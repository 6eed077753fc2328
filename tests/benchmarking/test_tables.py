"""What tables say of models that differ in what is known of them."""

from __future__ import annotations

from dataclasses import replace

from quantkit.benchmarking.schema import BenchReport
from quantkit.benchmarking.tables import accuracy_table


def test_loss_is_explained_where_there_is_one(report: BenchReport) -> None:
    assert "Loss: CTC, nats per reference label." in accuracy_table(report).caption
    lossless = replace(report, models=tuple(replace(m, loss=None) for m in report.models))
    caption = accuracy_table(lossless).caption
    assert "CTC" not in caption
    assert caption == accuracy_table(report).caption.replace(
        "Loss: CTC, nats per reference label. ", ""
    )
