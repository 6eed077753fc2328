"""The tables of a bench report, and the report in Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from quantkit.benchmarking.comparison import paired_difference
from quantkit.benchmarking.schema import BenchReport
from quantkit.benchmarking.slice_tables import slice_tables
from quantkit.disk.files import write_text
from quantkit.report import formatting as f
from quantkit.report.table import Table, to_markdown


def tables_of(report: BenchReport) -> list[Table]:
    """Every table that the report has figures for, the most important first."""
    tables = [cost_table(report)]
    if report.scored:
        table = keyword_table if report.counted.one_per_clip else accuracy_table
        tables.append(table(report))
    tables += slice_tables(report)
    if report.models[0].batches:
        tables.append(batch_table(report))
    if any(model.chunks for model in report.models):
        tables.append(chunk_table(report))
    tables.append(latency_table(report))
    return tables


def cost_table(report: BenchReport) -> Table:
    """Size, memory and speed."""
    first = report.models[0]
    row = first.latency_ms[0]
    return Table(
        title="What it costs",
        columns=(
            "model",
            "layers",
            "MB",
            "smaller",
            "load ms",
            "peak MB",
            "p50 ms",
            "p95 ms",
            "faster",
            "95 %",
            "RTF",
            "weights MB/s",
        ),
        rows=tuple(
            (
                m.name,
                m.variant,
                f.megabytes(m.size_bytes),
                f.times(first.size_bytes / m.size_bytes),
                f.significant(1000 * m.load_s),
                f.megabytes(m.peak_rss_bytes),
                f.significant(m.latency_ms[0].p50),
                f.significant(m.latency_ms[0].p95),
                f.times(m.speedup),
                f.decimal_interval(m.speedup_ci),
                f.significant(m.rtf),
                f.megabytes(m.weight_bytes_per_second),
            )
            for m in report.models
        ),
        caption=(
            f"Latency: batch size {row.batch_size}, {_threads(row.threads)}, a clip of "
            f"{f.duration(report.latency_clip_seconds)}, model only, {row.runs} rounds. "
            "RTF: seconds of model time per second of audio. Weights: bytes of weights read per "
            "second of audio when each clip is one run."
        ),
        text_columns=frozenset({0, 1}),
        optional=(1, 9, 7, 4, 3, 11),
    )


def accuracy_table(report: BenchReport) -> Table:
    """Loss, edit distance and error rates."""
    rows = []
    for m in report.models:
        difference = paired_difference(m, report.models[0], report.seed)
        mean, interval = difference if difference else (None, None)
        words = m.wer_edits
        rows.append(
            (
                m.name,
                f.decimal(m.loss, 3),
                f.decimal(m.levenshtein),
                f.decimal_interval(m.levenshtein_ci),
                f.signed(mean),
                "" if m is report.models[0] else f.decimal_interval(interval).replace("-", "−"),
                f.percent(m.cer),
                f.percent_interval(m.cer_ci),
                f.percent(m.wer),
                f.percent_interval(m.wer_ci),
                str(words.insertions) if words else f.MISSING,
                str(words.deletions) if words else f.MISSING,
                str(words.substitutions) if words else f.MISSING,
            )
        )
    unit = f"{report.counted.rate} %"
    # Models that decode their own text have none.
    known = any(m.loss is not None for m in report.models)
    loss = "Loss: CTC, nats per reference label. " if known else ""
    return Table(
        title="What it hears",
        columns=(
            "model",
            "loss",
            "Levenshtein",
            "95 %",
            "change",
            "95 %",
            unit,
            "95 %",
            "WER %",
            "95 %",
            "ins",
            "del",
            "sub",
        ),
        rows=tuple(rows),
        caption=(
            f"{report.corpus.labelled} utterances, decoder: {report.decoder}. {loss}"
            f"Levenshtein: {report.unit} edited per utterance. Change: against "
            f"{report.models[0].name}, paired by utterance; + is worse. ins, del, sub: words "
            "inserted, deleted, substituted."
        ),
        optional=(9, 7, 5, 3, 10, 11, 12),
    )


def keyword_table(report: BenchReport) -> Table:
    """Share of clips with the correct keyword."""
    rows = []
    for m in report.models:
        difference = paired_difference(m, report.models[0], report.seed)
        mean, interval = difference if difference else (None, None)
        changed = None if interval is None else (-100 * interval[1], -100 * interval[0])
        rows.append(
            (
                m.name,
                f.decimal(m.loss, 3),
                f.percent(None if m.cer is None else 1 - m.cer),
                f.percent_interval(m.cer_ci and (1 - m.cer_ci[1], 1 - m.cer_ci[0])),
                f.signed(None if mean is None else -100 * mean, 1),
                "" if m is report.models[0] else f.decimal_interval(changed, 1).replace("-", "−"),
            )
        )
    return Table(
        title="What it hears",
        columns=("model", "loss", "accuracy %", "95 %", "change", "95 %"),
        rows=tuple(rows),
        caption=(
            f"{report.corpus.labelled} keywords. Loss: cross entropy in nats. Change: of the "
            f"accuracy against {report.models[0].name}, in points, paired by clip; + is better."
        ),
        optional=(1,),
    )


def batch_table(report: BenchReport) -> Table:
    """Levenshtein and identical transcripts by batch size."""
    sizes = [row.batch_size for row in report.models[0].batches]
    count = report.models[0].batches[0].utterances
    return Table(
        title="Does the batch size change transcripts?",
        columns=("model", *(f"batch {size}" for size in sizes), "same as batch 1"),
        rows=tuple(
            (
                m.name,
                *(
                    f"{row.identical}/{row.utterances}"
                    if row.levenshtein is None
                    else f"{f.decimal(row.levenshtein)}"
                    for row in m.batches
                ),
                "all"
                if all(row.identical == count for row in m.batches)
                else f"{min(row.identical for row in m.batches)} of {count}",
            )
            for m in report.models
        ),
        caption=(
            f"Mean Levenshtein distance of {count} clips that are batched in corpus order and "
            "padded. Last column: transcripts that are identical to those of batch size 1, "
            "for the batch size with the fewest."
            if report.scored
            else f"Transcripts identical to those of batch size 1, of {count} clips."
        ),
        optional=tuple(range(len(sizes) - 1, 1, -1)),
    )


def chunk_table(report: BenchReport) -> Table:
    """What one chunk costs those models that hear in chunks."""
    return Table(
        title="Latency by chunk",
        columns=("model", "chunk", "look-ahead", "p50 ms", "p95 ms", "real-time factor"),
        rows=tuple(
            (
                model.name,
                f"{1000 * chunks.seconds:.0f} ms",
                f"{1000 * chunks.look_ahead_seconds:.0f} ms",
                f.significant(chunks.p50),
                f.significant(chunks.p95),
                f.significant(chunks.rtf),
            )
            for model in report.models
            if (chunks := model.chunks) is not None
        ),
        caption=(
            "A row of the output is given once its chunk and the look-ahead behind it were heard. "
            "Milliseconds of one run, the models in turns, chunk by chunk; the real-time factor is "
            "their mean per second of audio."
        ),
        text_columns=frozenset((0,)),
    )


def latency_table(report: BenchReport) -> Table:
    """Median and 95th percentile for every batch size and number of threads."""
    cells = [(row.threads, row.batch_size) for row in report.models[0].latency_ms]
    return Table(
        title="Latency by batch size and threads",
        columns=("threads", "batch", *(m.name for m in report.models)),
        rows=tuple(
            (
                str(threads),
                str(size),
                *(
                    f"{f.significant(m.latency_ms[i].p50)} / {f.significant(m.latency_ms[i].p95)}"
                    f" ({f.times(m.latency_ms[i].speedup)})"
                    for m in report.models
                ),
            )
            for i, (threads, size) in enumerate(cells)
        ),
        caption=(
            "Milliseconds for the whole batch, p50 / p95, and the speed-up over "
            f"{report.models[0].name}. All clips last {f.duration(report.latency_clip_seconds)}; "
            "runs of the models are interleaved in one process."
        ),
        text_columns=frozenset(),
        model_column=-1,
    )


def markdown_report(report: BenchReport) -> str:
    """All tables, the notes and the host."""
    parts = [f"# Bench: {', '.join(m.name for m in report.models)}", "", corpus_line(report), ""]
    if report.notes:
        parts += [*(f"- {note}" for note in report.notes), ""]
    parts += [to_markdown(table) for table in tables_of(report)]
    parts += ["## Host", "", *(f"- {key}: {value}" for key, value in host_lines(report)), ""]
    return "\n".join(parts)


def write_markdown(report: BenchReport, destination: Path) -> None:
    """Write ``report.md`` atomically."""
    write_text(destination, markdown_report(report))


def corpus_line(report: BenchReport) -> str:
    """What was measured, in one line."""
    c = report.corpus
    said = (f"split {c.split}" if c.split else "", *c.filters, f"with {c.added}" if c.added else "")
    chosen = "".join(f", {each}" for each in said if each)
    return (
        f"{c.utterances} utterances of {c.name}{chosen}, {f.duration(c.seconds)} of audio; "
        f"decoder: {report.decoder}; seed {report.seed}; {f.moment(report.created)}"
    )


def host_lines(report: BenchReport) -> Iterator[tuple[str, str]]:
    """The host block: key and value."""
    h = report.host
    yield "CPU", f"{h.cpu}, {h.cores} cores usable, {h.machine}"
    yield "Instruction sets", ", ".join(h.flags) or "not known"
    yield "VNNI", "yes" if h.vnni else "no"
    yield "Memory", f"{h.memory_bytes / 2**30:.1f} GiB"
    yield "System", f"{h.system}, Python {h.python}"
    yield "ONNX Runtime", h.onnxruntime
    yield "Others", f"quantkit {h.quantkit}, onnx {h.onnx}, NumPy {h.numpy}"
    yield "The whole run took", f.duration(report.seconds_taken)


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
