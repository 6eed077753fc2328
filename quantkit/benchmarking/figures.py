"""The part of a bench run that a gate compares: models, corpus and results.

A baseline stores the same figures as ``bench.json`` without its transcripts, latency tables and
plots, so both are read into one :class:`Figures`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from quantkit.disk.files import read_json
from quantkit.errors import FormatError
from quantkit.json_dataclass import build
from quantkit.json_fields import Fields, Range
from quantkit.slices.properties import ClipProperties

BENCH_SCHEMA = "quantkit.bench/1"

# A speed-up is divided by, and its logarithm is taken.
_RATIO = Range(1e-9)


@dataclass(frozen=True)
class Host:
    """The properties that decide whether speed-ups of two runs can be compared."""

    cpu: str
    machine: str
    vnni: bool
    onnxruntime: str


@dataclass(frozen=True)
class CorpusIdentity:
    """Which utterances were recognised: two corpora are the same when ``sha256`` is.

    ``sha256`` covers the sorted (id, reference) pairs: a renamed folder is the same corpus, a
    corrected transcript makes another one. ``added`` are sounds that were added to all of them.
    """

    name: str
    utterances: int
    sha256: str
    added: str = ""

    @property
    def label(self) -> str:
        """The name, and what was added."""
        return f"{self.name} with {self.added}" if self.added else self.name


@dataclass(frozen=True)
class ModelFigures:
    """One model's result.

    Args:
        distances: Levenshtein distance in labels (letters) of every utterance id.
        speedup: float latency of the run's first model divided by this model's.
        speedup_ci: 95 % interval of ``speedup``, or ``None`` if it was not recorded.
        sha256: of the measured file; empty if it was not recorded.
        texts: what it writes for each clip, with transcript or without; none if not recorded.
        divergences: from the first model of the run, in nats per frame, where they are known.
        path: of the measured file, as the run was told it; empty in a baseline.
    """

    name: str
    size_bytes: int
    speedup: float
    speedup_ci: tuple[float, float] | None
    distances: Mapping[str, float]
    sha256: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    divergences: Mapping[str, float] = field(default_factory=dict)
    path: str = field(default="", compare=False)

    @property
    def levenshtein(self) -> float:
        """Mean distance per utterance; 0 without any."""
        if not self.distances:
            return 0.0
        return math.fsum(self.distances.values()) / len(self.distances)


@dataclass(frozen=True)
class Figures:
    """One run over one corpus; speed-ups are ratios to ``models[0]``.

    Args:
        normalization: empty where files of before do not say it.
        references: transcript of each clip that has one; none in a baseline, which knows them by
            their checksum only.
        clips: what is known of each; none in a baseline, and in reports of before.
        by: what the run divided clips by.
        unit: of the edit distance, see :mod:`quantkit.text.units`.
        word_errors: whether the run had a word error rate.
        rare_words: see :class:`~quantkit.benchmarking.schema.BenchReport`.
    """

    host: Host
    corpus: CorpusIdentity
    decoder: str
    models: tuple[ModelFigures, ...]
    normalization: str = ""
    # What follows is not in a baseline, whose figures are equal without.
    references: Mapping[str, str] = field(default_factory=dict, compare=False)
    clips: tuple[ClipProperties, ...] = field(default=(), compare=False)
    by: tuple[str, ...] = field(default=(), compare=False)
    unit: str = field(default="characters", compare=False)
    word_errors: bool = field(default=False, compare=False)
    rare_words: tuple[str, ...] = field(default=(), compare=False)

    @property
    def is_labelled(self) -> bool:
        """Whether there are transcripts, and so edit distances."""
        return any(model.distances for model in self.models)

    def model(self, name: str) -> ModelFigures | None:
        """The model of that name, if it was measured."""
        return next((model for model in self.models if model.name == name), None)


def read_figures(source: Path) -> Figures:
    """Read the figures of a ``bench.json`` for a gate.

    Raises:
        FormatError: unreadable, another schema, or see :func:`figures_of`.
    """
    return figures_of(read_json(source, BENCH_SCHEMA), str(source))


def figures_of(document: Mapping[str, Any], where: str) -> Figures:
    """What a gate needs of the content of a ``bench.json``.

    Args:
        where: names it in messages.

    Raises:
        FormatError: a field is missing, or a model was measured on other utterances than the first.
    """
    content = Fields(dict(document), where)
    corpus = content.child("corpus")
    models, references = [], []
    word_errors = False
    for fields in content.children("models"):
        model, reference = _read_bench_model(fields)
        models.append(model)
        references.append(reference)
        word_errors = word_errors or fields.has("wer")
    if not models:
        raise FormatError(f"{where} contains no model")
    check_models(models, where)
    if any(reference != references[0] for reference in references) or any(
        model.texts.keys() != models[0].texts.keys() for model in models
    ):
        raise FormatError(f"{where}: the models were not measured on the same utterances")
    return Figures(
        host=read_host(content.child("host")),
        corpus=_identity(corpus, references[0], models[0].texts),
        decoder=content.text("decoder", default="greedy"),
        models=tuple(models),
        normalization=content.text("normalization", default=""),
        references=references[0],
        clips=_read_clips(content),
        by=content.texts("by") if content.has("by") else (),
        unit=content.text("unit", default="characters"),
        word_errors=word_errors,
        rare_words=content.texts("rare_words") if content.has("rare_words") else (),
    )


def read_host(fields: Fields) -> Host:
    """The ``host`` object of a bench report or baseline."""
    return Host(
        cpu=fields.text("cpu", default=""),
        machine=fields.text("machine", default=""),
        vnni=fields.flag("vnni"),
        onnxruntime=fields.text("onnxruntime", default=""),
    )


def check_models(models: list[ModelFigures], where: str) -> None:
    """Refuse two models of the same name, which a baseline could not distinguish."""
    names = [model.name for model in models]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise FormatError(
            f"{where} contains two models named {repeated!r}; rename one of the files"
        )


def read_model(
    fields: Fields,
    distances: Mapping[str, float],
    texts: Mapping[str, str],
    divergences: Mapping[str, float],
) -> ModelFigures:
    """The fields that ``bench.json`` and ``baseline.json`` share."""
    return ModelFigures(
        name=fields.text("name"),
        size_bytes=fields.whole("size_bytes", limits=Range(1)),
        speedup=fields.number("speedup", limits=_RATIO),
        speedup_ci=fields.interval("speedup_ci", _RATIO),
        distances=distances,
        sha256=fields.text("sha256", default=""),
        texts=texts,
        divergences=divergences,
    )


def _read_clips(content: Fields) -> tuple[ClipProperties, ...]:
    if not content.has("clips"):
        return ()
    ranges = {"measured": Range(-math.inf)}
    return tuple(
        build(ClipProperties, each, f"{content.where}: clips[{place}]", ranges)
        for place, each in enumerate(content.items("clips"))
    )


def _identity(
    corpus: Fields, references: Mapping[str, str], texts: Mapping[str, str]
) -> CorpusIdentity:
    """Of the clips with transcripts; where none has one, of all."""
    known = references or dict.fromkeys(texts)
    return CorpusIdentity(
        corpus.text("name", default=""),
        len(known),
        _digest(known),
        corpus.text("added", default=""),
    )


def _read_bench_model(fields: Fields) -> tuple[ModelFigures, dict[str, str]]:
    distances: dict[str, float] = {}
    references: dict[str, str] = {}
    texts: dict[str, str] = {}
    divergences: dict[str, float] = {}
    unlabelled = fields.children("unlabelled") if fields.has("unlabelled") else []
    for labelled, utterances in ((True, fields.children("utterances")), (False, unlabelled)):
        for utterance in utterances:
            identifier = utterance.text("id")
            if identifier in texts:
                raise FormatError(f"{utterance.where}: the id {identifier!r} occurs twice")
            texts[identifier] = utterance.text("hypothesis", default="")
            if utterance.has("divergence"):
                divergences[identifier] = utterance.number("divergence", limits=Range(0))
            if labelled:
                distances[identifier] = utterance.number("distance", limits=Range(0))
                references[identifier] = utterance.text("reference")
    if not texts:
        raise FormatError(
            f"{fields.where} has no scored utterance; bench it on a corpus with transcripts"
        )
    model = read_model(fields, distances, texts, divergences)
    return replace(model, path=fields.text("path", default="")), references


def _digest(references: Mapping[str, str | None]) -> str:
    pairs = json.dumps(sorted(references.items()), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(pairs.encode("utf-8", errors="surrogatepass")).hexdigest()
