"""``bench.json``: the results of a bench run, as dataclasses and as JSON.

Field names in the file are those of the dataclasses. Times are in seconds unless the name says
``ms``; sizes are bytes (1 MB = 1,000,000); rates are shares, not percentages. A figure that was
not measured is ``null``.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from quantkit.benchmarking.figures import BENCH_SCHEMA
from quantkit.disk.files import read_json, write_json
from quantkit.errors import FormatError
from quantkit.json_dataclass import build
from quantkit.json_fields import Range
from quantkit.report.formatting import Interval
from quantkit.runtime.hosts import Hosts
from quantkit.slices.errors import TextErrors
from quantkit.slices.grouping import FEW_CLIPS
from quantkit.slices.properties import ClipProperties
from quantkit.text.units import Unit, unit_named

# Fields of a model that are tables themselves.
_NESTED = frozenset(
    {"latency_ms", "batches", "utterances", "unlabelled", "cer_edits", "wer_edits", "hosts"}
)

# Rounding takes the loss of a sure model below zero, and levels are below full scale.
_SIGNED = {name: Range(-math.inf) for name in ("seed", "loss", "measured")}


@dataclass(frozen=True)
class Host:
    """The machine and the libraries.

    Args:
        cpu: marketing name.
        machine: architecture, such as ``x86_64``.
        system: operating system and its release.
        cores: logical cores that the run could use.
        memory_bytes: of the whole machine.
        flags: instruction sets that matter for float and int8 kernels.
        vnni: whether AVX-VNNI or AVX-512 VNNI is available; without it int8 runs through other
            kernels.
        python, onnxruntime, onnx, numpy, quantkit: versions.
    """

    cpu: str
    machine: str
    system: str
    cores: int
    memory_bytes: int
    flags: tuple[str, ...]
    vnni: bool
    python: str
    onnxruntime: str
    onnx: str
    numpy: str
    quantkit: str


@dataclass(frozen=True)
class CorpusInfo:
    """The corpus that was recognised.

    Args:
        name: folder of the corpus.
        split: the split that was used; empty for all of it.
        utterances: clips that were recognised.
        seconds: of audio in them.
        labelled: how many have a transcript.
        filters: which clips of the split were chosen, such as ``speaker ann``; empty for all.
        skipped: one reason for each skipped clip, at most a few.
        skipped_count: number of all skipped clips.
        added: sounds that were added to all clips; two runs can be compared only if they are the
            same.
    """

    name: str
    split: str
    utterances: int
    seconds: float
    labelled: int
    filters: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    skipped_count: int = 0
    added: str = ""


@dataclass(frozen=True)
class LatencyRow:
    """Time of one run of the model, without front end and decoder.

    Args:
        batch_size: clips per run; all of them are the corpus's clip of median length.
        threads: inside one operator.
        p50, p95: milliseconds for the whole batch.
        runs: how many were timed.
        speedup: median over rounds of the first model's time over this model's.
        speedup_ci: 95 % bootstrap interval over rounds.
    """

    batch_size: int
    threads: int
    p50: float
    p95: float
    runs: int
    speedup: float
    speedup_ci: Interval


@dataclass(frozen=True)
class ChunkLatency:
    """What one chunk costs a model that hears in chunks.

    Args:
        seconds: of audio from one chunk to the next.
        look_ahead_seconds: of audio behind a row that is heard first, beside the rest of its chunk.
        p50, p95: milliseconds of one run on the first number of threads.
        rtf: mean time of a run per second of audio.
        runs: how many were timed.
    """

    seconds: float
    look_ahead_seconds: float
    p50: float
    p95: float
    rtf: float
    runs: int


@dataclass(frozen=True)
class BatchRow:
    """Accuracy and time when clips of different length share a batch.

    Args:
        batch_size: clips per batch; 1 is the reference.
        utterances: of the subset that every batch size was run on.
        identical: transcripts that equal those of batch size 1 to the last character.
        levenshtein: mean edits per utterance; ``None`` without transcripts.
        seconds: of model time for the whole subset, padding included.
    """

    batch_size: int
    utterances: int
    identical: int
    levenshtein: float | None
    seconds: float


@dataclass(frozen=True)
class Edits:
    """Edits by kind over the whole corpus, and the reference units that they refer to."""

    insertions: int
    deletions: int
    substitutions: int
    reference_length: int


@dataclass(frozen=True)
class UtteranceResult:
    """One clip of one model.

    Args:
        id: name of the clip in its corpus.
        reference: transcript as it was scored.
        hypothesis: what the decoder wrote.
        distance: Levenshtein distance in labels (letters or phonemes).
        length: labels of the reference.
        seconds: of audio.
        loss: CTC loss over reference labels, or cross entropy of the class; ``None`` where no
            alignment exists.
        divergence: of the probabilities from the first model's, nats per frame; ``None`` where the
            outputs are no probabilities.
    """

    id: str
    reference: str
    hypothesis: str
    distance: int
    length: int
    seconds: float
    loss: float | None
    divergence: float | None = None


@dataclass(frozen=True)
class UnlabelledResult:
    """One clip without a transcript, of one model.

    Args:
        id: name of the clip in its corpus.
        hypothesis: what the decoder wrote, as it would be scored.
        divergence: see :class:`UtteranceResult`.
    """

    id: str
    hypothesis: str
    divergence: float | None = None


@dataclass(frozen=True)
class SliceResult:
    """One model on some of the clips.

    Args:
        model: its name.
        by, value: the property that the clips share; ``all`` and nothing for all clips.
        clips, labelled: how many there are, and how many of them have a transcript.
        errors: against transcripts: of letters and words, of rare, first and last words.
        interval: of the word error rate, or of the rate over units where there are no words; 95 %.
            ``None`` where there are too few clips for one.
        changed: what is different from the first model's texts; ``None`` of the first itself.
        divergence: mean over clips, see :class:`UtteranceResult`.
    """

    model: str
    by: str
    value: str
    clips: int
    labelled: int
    errors: TextErrors | None = None
    interval: Interval | None = None
    changed: TextErrors | None = None
    divergence: float | None = None

    @property
    def is_small(self) -> bool:
        """Whether there are too few clips to say much."""
        return self.clips < FEW_CLIPS

    @property
    def name(self) -> str:
        """``language: de``."""
        return f"{self.by}: {self.value}" if self.value else self.by


@dataclass(frozen=True)
class ModelResult:
    """Everything about one model.

    Args:
        name: file name without ``.onnx``; with its folder where that is not unique.
        path: as it was given.
        sha256: of the ``.onnx`` file.
        size_bytes: of the file and its external data.
        variant: how its layers are stored and computed, from its plan.
        weight_bytes: constants of the graph that ONNX Runtime executes.
        weight_bytes_per_second: bytes of weights read per second of audio when every clip is one
            run: ``weight_bytes * utterances / seconds of audio``; or every chunk.
        load_s: median time to open the session, file in the page cache.
        peak_rss_bytes: highest resident memory of a process that loads the model and runs the
            longest clip once.
        idle_rss_bytes: resident memory of the same process just before it loaded the model.
        rtf: real-time factor: model time per second of audio, batch size 1, ``threads[0]``.
        decode_rtf: the decoder's time per second of audio.
        speedup, speedup_ci: of the first latency row: batch size 1 where that was measured.
        latency_ms: one row per batch size and number of threads.
        loss: mean over utterances of the CTC loss per reference label, in nats.
        levenshtein: mean edits per utterance, in labels.
        cer, wer: label and word error rate of the corpus: edits over reference units.
        batches: accuracy by batch size.
        utterances: one result per labelled clip.
        unlabelled: one per other clip.
        hosts: on which processors its integer sums are exact; None in reports of before.
        chunks: of a model that hears in chunks; its other latencies are of whole clips, chunk by
            chunk.
    """

    name: str
    path: str
    sha256: str
    size_bytes: int
    variant: str
    weight_bytes: int
    weight_bytes_per_second: float
    load_s: float
    peak_rss_bytes: int
    idle_rss_bytes: int
    rtf: float
    decode_rtf: float
    speedup: float
    speedup_ci: Interval
    latency_ms: tuple[LatencyRow, ...]
    loss: float | None
    levenshtein: float | None
    levenshtein_ci: Interval | None
    cer: float | None
    cer_ci: Interval | None
    cer_edits: Edits | None
    wer: float | None
    wer_ci: Interval | None
    wer_edits: Edits | None
    batches: tuple[BatchRow, ...]
    utterances: tuple[UtteranceResult, ...]
    hosts: Hosts | None = None
    chunks: ChunkLatency | None = None
    unlabelled: tuple[UnlabelledResult, ...] = ()

    @property
    def heard(self) -> tuple[UtteranceResult | UnlabelledResult, ...]:
        """The results of all clips, those with transcripts first."""
        return (*self.utterances, *self.unlabelled)


@dataclass(frozen=True)
class BenchReport:
    """One run of ``quantkit bench``; speed-ups are against ``models[0]``.

    Args:
        created: time of the run, ISO 8601 in UTC.
        decoder: name and settings in words; two runs can be compared only if it is the same.
        unit: what a Levenshtein edit counts; see :mod:`quantkit.text.units`.
        seed: of sampling, order and bootstrap.
        latency_clip_seconds: duration of the clip that latency was measured with.
        seconds_taken: by the whole run.
        notes: notes for reading the figures, one sentence each.
        normalization: name of what was made equal before texts were compared; two runs can be
            compared only if it is the same. Empty in reports of before.
        clips: what is known of each clip; none in reports of before.
        by: what clips are divided by, as of ``--by``; empty if they are not.
        rare_words: of a list, as they are scored; none: those that are rare in the corpus.
        slices: each model on all clips, and on those of each slice.
    """

    created: str
    decoder: str
    unit: str
    seed: int
    latency_clip_seconds: float
    seconds_taken: float
    host: Host
    corpus: CorpusInfo
    models: tuple[ModelResult, ...]
    notes: tuple[str, ...] = ()
    normalization: str = ""
    clips: tuple[ClipProperties, ...] = ()
    by: tuple[str, ...] = ()
    rare_words: tuple[str, ...] = ()
    slices: tuple[SliceResult, ...] = ()

    @property
    def scored(self) -> bool:
        """Whether there were transcripts, and so accuracy figures."""
        return all(model.levenshtein is not None for model in self.models)

    @property
    def counted(self) -> Unit:
        """What :attr:`unit` names."""
        return unit_named(self.unit)

    def to_json(self) -> dict[str, Any]:
        """The content of ``bench.json``."""
        return {"schema": BENCH_SCHEMA, **cast(dict[str, Any], _plain(asdict(self)))}

    def to_dict(self) -> dict[str, Any]:
        """As :meth:`to_json`."""
        return self.to_json()

    def rows(self) -> list[dict[str, Any]]:
        """One row per model with its figures, for ``pandas.DataFrame``.

        What has rows of its own, such as latencies by batch size, is left out.
        """
        return [
            {key: value for key, value in _plain(asdict(model)).items() if key not in _NESTED}
            for model in self.models
        ]


def write_report(report: BenchReport, destination: Path) -> None:
    """Write ``bench.json`` atomically."""
    write_json(destination, report.to_json())


def read_report(source: Path) -> BenchReport:
    """Read a ``bench.json``.

    Raises:
        FormatError: unreadable, another schema, or a field is missing, of the wrong type, or a
            size, count or time below zero.
    """
    content = read_json(source, BENCH_SCHEMA)
    where = str(source)
    report = build(BenchReport, content, where, _SIGNED, others=Range(0), ignore_unknown=True)
    if not report.models:
        raise FormatError(f"{source} contains no model")
    return report


def _plain(value: Any) -> Any:
    """JSON has neither tuples nor infinities."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
