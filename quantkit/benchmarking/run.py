"""One bench run: open the models, recognise the corpus, measure times, and build the report."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from quantkit.audio.utterance import Corpus
from quantkit.audio.windows import LONGEST_SECONDS, WINDOW_SECONDS
from quantkit.benchmarking.accuracy import (
    Clip,
    Transcripts,
    accuracy_of,
    beginning_of,
    iter_clips,
    transcribe_in_turns,
)
from quantkit.benchmarking.chunks import time_chunks
from quantkit.benchmarking.contestant import BenchModel, open_contestants
from quantkit.benchmarking.host import describe_host
from quantkit.benchmarking.latency import time_in_turns
from quantkit.benchmarking.memory import Footprint, measure_footprint
from quantkit.benchmarking.notes import notes_on
from quantkit.benchmarking.schema import (
    BatchRow,
    BenchReport,
    ChunkLatency,
    CorpusInfo,
    LatencyRow,
    ModelResult,
)
from quantkit.benchmarking.settings import BenchSettings
from quantkit.benchmarking.slices import slices_of, with_rates
from quantkit.benchmarking.sweep import sweep_batch_sizes
from quantkit.printable import printable
from quantkit.progress import Progress, counted, no_progress
from quantkit.runtime.hosts import hosts_of
from quantkit.slices.errors import rare_words_of
from quantkit.slices.properties import ClipProperties, properties_of, require_possible
from quantkit.tasks.open import open_speech_model
from quantkit.text.scoring import TextScoring

_LOG = logging.getLogger(__name__)

_SHOWN_REASONS = 5


def measured_clips(corpus: Corpus, settings: BenchSettings) -> tuple[Corpus, str]:
    """The clips of ``corpus`` to measure on, and the name of their split; empty for all.

    Raises:
        CorpusError: no such split.
    """
    chosen = corpus.part(settings.split, usually="test")
    named = (settings.split,) if isinstance(settings.split, str) else settings.split
    split = "" if chosen is corpus else ", ".join(filter(None, named)) or "test"
    if settings.limit:
        chosen = chosen.sample(settings.limit, settings.seed)
    return chosen, split


def run_bench(
    models: Sequence[Path],
    corpus: Corpus,
    settings: BenchSettings | None = None,
    progress: Progress = no_progress,
    *,
    shown: Sequence[Path] | None = None,
) -> BenchReport:
    """Measure ``models`` on ``corpus``; speed-ups are against the first.

    Args:
        shown: see :func:`~quantkit.benchmarking.contestant.open_contestants`.

    Raises:
        InputError: models that cannot be compared, bad settings, or clips are to be divided by what
            none of them can have.
        ModelError: a model that does not load or run.
        CorpusError: no usable clip, or no such split.
        MissingDependencyError: the decoder's library is not installed.
    """
    settings = settings or BenchSettings()
    started = time.perf_counter()
    threads = settings.thread_counts
    contestants = open_contestants(
        models, threads[0], settings.decoding, settings.normalization, shown
    )
    first = contestants[0].model
    if not first.takes_batches:
        settings = replace(settings, batch_sizes=(1,), sweep_utterances=0)
    chosen, split = measured_clips(corpus, settings)
    require_possible(settings.by, chosen)
    _LOG.info("measuring %d models on %d clips", len(contestants), len(chosen))
    recognised = _recognise(contestants, chosen, settings, progress)
    sweep = _sweep(contestants, recognised.kept, settings, progress)
    typical = sorted(recognised.kept, key=lambda clip: clip.seconds)[len(recognised.kept) // 2]
    latency = _latency(contestants, typical, settings, progress)
    chunks = time_chunks([each.model for each in contestants], typical.inputs)
    footprints = _footprints(contestants, recognised.longest, threads[0], progress)

    results = tuple(
        _result(
            contestant,
            recognised,
            recognised.transcripts[i],
            footprints[i],
            latency[i],
            sweep[i],
            chunks[i],
            settings.seed,
        )
        for i, contestant in enumerate(contestants)
    )
    info = CorpusInfo(
        name=printable(corpus.name),
        split=split,
        filters=tuple(map(printable, settings.filters)),
        utterances=recognised.utterances,
        seconds=recognised.seconds,
        labelled=recognised.labelled,
        skipped=tuple(map(printable, recognised.skipped[:_SHOWN_REASONS])),
        skipped_count=len(recognised.skipped),
        added=settings.added,
    )
    host = describe_host()
    report = BenchReport(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        decoder=first.decoder_in_words,
        unit=contestants[0].scoring.unit.name,
        normalization=contestants[0].scoring.normalization,
        seed=settings.seed,
        latency_clip_seconds=typical.seconds,
        seconds_taken=time.perf_counter() - started,
        host=host,
        corpus=info,
        models=results,
        notes=notes_on(
            info,
            results,
            host,
            uncovered=recognised.uncovered,
            lost_vowels=recognised.lost_vowels,
            cutting=first.cutting_in_words,
            decoders={each.name: each.model.decoder_in_words for each in contestants},
        ),
        clips=with_rates(recognised.properties, recognised.transcripts[0].unlabelled),
        by=tuple(map(str, settings.by)),
        rare_words=_listed(settings, contestants[0].scoring),
    )
    return replace(report, slices=slices_of(report, settings.by)) if settings.by else report


def _listed(settings: BenchSettings, scoring: TextScoring) -> tuple[str, ...]:
    if settings.rare_words is None:
        return ()
    return tuple(sorted(rare_words_of(settings.rare_words, (), scoring)))


@dataclass
class _Recognised:
    """Results of the pass over the corpus.

    ``kept`` are the clips for the sweep and for latency; ``longest`` is, for each model, the
    length of its longest input.
    """

    skipped: list[str]
    longest: list[int]
    transcripts: list[Transcripts] = field(default_factory=list)
    kept: list[Clip] = field(default_factory=list)
    properties: list[ClipProperties] = field(default_factory=list)
    utterances: int = 0
    seconds: float = 0.0
    labelled: int = 0
    uncovered: int = 0
    lost_vowels: int = 0


def _recognise(
    contestants: Sequence[BenchModel],
    corpus: Corpus,
    settings: BenchSettings,
    progress: Progress,
) -> _Recognised:
    scoring = contestants[0].scoring
    recognised = _Recognised(skipped=list(corpus.skipped), longest=[0] * len(contestants))
    sample = corpus.sample(max(1, settings.sweep_utterances), settings.seed)
    wanted = {utterance.identifier for utterance in sample}
    at_once = [contestant.model.longest_input for contestant in contestants]

    unusable: set[str] = set()

    def left_out(clip: Clip, reason: str) -> None:
        unusable.add(clip.id)
        recognised.skipped.append(reason)

    def watched(clips: Iterator[Clip]) -> Iterator[Clip]:
        for clip in clips:
            yield clip
            if clip.id in unusable:
                continue
            recognised.utterances += 1
            recognised.seconds += clip.seconds
            if clip.utterance is not None:
                known = properties_of(clip.utterance, clip.reference, sound=True)
                recognised.properties.append(replace(known, clip=printable(known.clip)))
            recognised.longest = [
                max(longest, len(array) if most is None else min(len(array), most))
                for longest, array, most in zip(
                    recognised.longest, clip.inputs, at_once, strict=True
                )
            ]
            if clip.reference is not None:
                recognised.labelled += 1
                recognised.uncovered += not scoring.covers(clip.reference)
                recognised.lost_vowels += clip.lost_vowels
            # The first usable clip is kept in any case: all of the wanted ones may be broken. Of a
            # long one, its beginning is: many together would not fit in memory.
            if clip.seconds > LONGEST_SECONDS:
                if not recognised.kept:
                    recognised.kept.append(beginning_of(clip, WINDOW_SECONDS))
            elif clip.id in wanted or not recognised.kept:
                recognised.kept.append(clip)

    clips = watched(iter_clips(contestants, corpus, recognised.skipped))
    step = counted(progress, "recognising")
    recognised.transcripts = transcribe_in_turns(contestants, clips, step, len(corpus), left_out)
    if not recognised.utterances:
        raise corpus.none_usable(recognised.skipped)
    return recognised


def _sweep(
    contestants: Sequence[BenchModel],
    kept: Sequence[Clip],
    settings: BenchSettings,
    progress: Progress,
) -> list[tuple[BatchRow, ...]]:
    if not settings.sweep_utterances:
        return [()] * len(contestants)
    clips = kept[: settings.sweep_utterances]
    step = counted(progress, "batch sizes")
    return sweep_batch_sizes(contestants, clips, settings.sizes, step)


def _latency(
    contestants: Sequence[BenchModel], clip: Clip, settings: BenchSettings, progress: Progress
) -> list[list[LatencyRow]]:
    """For each model one row per number of threads and batch size."""
    table: list[list[LatencyRow]] = [[] for _ in contestants]
    cells = len(settings.thread_counts) * len(settings.sizes)
    for position, threads in enumerate(settings.thread_counts):
        models = [
            contestant.model
            if position == 0
            else open_speech_model(
                contestant.path, threads, check=False, decoding=settings.decoding
            )
            for contestant in contestants
        ]
        for size in settings.sizes:
            runs = [
                partial(model.outputs, [array] * size)
                for model, array in zip(models, clip.inputs, strict=True)
            ]
            rows = time_in_turns(
                runs,
                batch_size=size,
                threads=threads,
                effort=settings.effort,
                seed=settings.seed,
            )
            for model_rows, row in zip(table, rows, strict=True):
                model_rows.append(row)
            progress("latency", len(table[0]) / cells)
    return table


def _footprints(
    contestants: Sequence[BenchModel],
    longest: Sequence[int],
    threads: int,
    progress: Progress,
) -> list[Footprint]:
    found = []
    for contestant, length in zip(contestants, longest, strict=True):
        found.append(measure_footprint(contestant.path, length, threads))
        progress("memory", len(found) / len(contestants))
    return found


def _result(
    contestant: BenchModel,
    recognised: _Recognised,
    transcripts: Transcripts,
    footprint: Footprint,
    latency: Sequence[LatencyRow],
    batches: tuple[BatchRow, ...],
    chunks: ChunkLatency | None,
    seed: int,
) -> ModelResult:
    utterances = tuple(transcripts.utterances)
    accuracy = accuracy_of(utterances, contestant.scoring, seed)
    # A clip is a run, and so is a chunk.
    runs_per_second = 1.0 / chunks.seconds if chunks else recognised.utterances / recognised.seconds
    return ModelResult(
        name=contestant.name,
        path=printable(str(contestant.path)),
        sha256=contestant.sha256,
        size_bytes=contestant.size_bytes,
        variant=contestant.variant,
        weight_bytes=footprint.weight_bytes,
        weight_bytes_per_second=footprint.weight_bytes * runs_per_second,
        load_s=footprint.load_s,
        peak_rss_bytes=footprint.peak_rss_bytes,
        idle_rss_bytes=footprint.idle_rss_bytes,
        rtf=transcripts.model_seconds / recognised.seconds,
        decode_rtf=transcripts.decoder_seconds / recognised.seconds,
        speedup=latency[0].speedup,
        speedup_ci=latency[0].speedup_ci,
        latency_ms=tuple(latency),
        loss=accuracy.loss,
        levenshtein=accuracy.levenshtein,
        levenshtein_ci=accuracy.levenshtein_ci,
        cer=accuracy.cer,
        cer_ci=accuracy.cer_ci,
        cer_edits=accuracy.cer_edits,
        wer=accuracy.wer,
        wer_ci=accuracy.wer_ci,
        wer_edits=accuracy.wer_edits,
        batches=batches,
        utterances=utterances,
        hosts=hosts_of(contestant.path),
        chunks=chunks,
        unlabelled=tuple(transcripts.unlabelled),
    )
