"""Transcripts of each model, their edit distance to the references, and the time they took."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.benchmarking.contestant import BenchModel
from quantkit.benchmarking.schema import Edits, UnlabelledResult, UtteranceResult
from quantkit.errors import AudioError, ModelError
from quantkit.printable import printable
from quantkit.report.formatting import Interval
from quantkit.runtime.output_scale import scale_of
from quantkit.runtime.speech_model import Output
from quantkit.sensitivity.posteriors import divergence, log_posteriors
from quantkit.text.distances import ErrorCounts, error_counts, levenshtein, ratio_interval
from quantkit.text.normalizations import loses_vowel_signs
from quantkit.text.scoring import TextScoring
from quantkit.text.scripts import script_without_spaces

#: Called after each step with the number of finished steps and of all steps.
Step = Callable[[int, int], None]


@dataclass(frozen=True)
class Clip:
    """One clip as input of the models.

    Args:
        inputs: one array per contestant; those with the same front end share theirs.
        reference: normalised transcript, or ``None``.
        seconds: of audio.
        language: code of the spoken language; empty if unknown.
        lost_vowels: whether normalisation took vowel signs from the transcript.
        utterance: that it was made of; None: nothing else is known of it.
    """

    id: str
    inputs: tuple[FloatArray, ...]
    reference: str | None
    seconds: float
    language: str = ""
    lost_vowels: bool = False
    utterance: Utterance | None = None


def beginning_of(clip: Clip, seconds: float) -> Clip:
    """The first ``seconds`` of a longer clip, without its reference, which is of all of it."""
    inputs = tuple(
        array[: max(1, round(len(array) * seconds / clip.seconds))].copy() for array in clip.inputs
    )
    return replace(clip, inputs=inputs, reference=None, seconds=seconds)


@dataclass
class Transcripts:
    """Results of one model on the corpus, clip by clip, at batch size 1.

    Args:
        utterances: labelled clips.
        unlabelled: the others.
        model_seconds, decoder_seconds: spent on all clips.
    """

    utterances: list[UtteranceResult] = field(default_factory=list)
    unlabelled: list[UnlabelledResult] = field(default_factory=list)
    model_seconds: float = 0.0
    decoder_seconds: float = 0.0


@dataclass(frozen=True)
class Accuracy:
    """Figures of one model; see :class:`quantkit.benchmarking.schema.ModelResult`."""

    loss: float | None = None
    levenshtein: float | None = None
    levenshtein_ci: Interval | None = None
    cer: float | None = None
    cer_ci: Interval | None = None
    cer_edits: Edits | None = None
    wer: float | None = None
    wer_ci: Interval | None = None
    wer_edits: Edits | None = None


def iter_clips(
    contestants: Sequence[BenchModel], corpus: Corpus, skipped: list[str]
) -> Iterator[Clip]:
    """Read the corpus clip by clip; only one clip is in memory at a time.

    Args:
        contestants: determine which front ends are run.
        corpus: of audio or features.
        skipped: receives the reason for each skipped clip.

    Raises:
        CorpusError: at the end, if no clip was usable.
    """
    scoring = contestants[0].scoring
    usable, known = False, len(skipped)
    for utterance in corpus:
        try:
            inputs = _inputs(contestants, utterance)
        except AudioError as error:
            skipped.append(str(error))
            continue
        usable = True
        text, lost = None, False
        if utterance.text is not None:
            text = scoring.normalized(utterance.text, utterance.language)
            lost = loses_vowel_signs(utterance.text, text)
        seconds = utterance.seconds or contestants[0].model.seconds_of(inputs[0])
        language = utterance.language
        yield Clip(utterance.identifier, inputs, text, seconds, language, lost, utterance)
    if not usable:
        raise corpus.none_usable(skipped[known:])


def transcribe_in_turns(
    contestants: Sequence[BenchModel],
    clips: Iterator[Clip],
    step: Step,
    total: int,
    left_out: Callable[[Clip, str], None] = lambda clip, reason: None,
) -> list[Transcripts]:
    """Recognise every clip with every model before the next clip is read.

    A clip on which a model fails, or gives no numbers, counts for none of them.

    Args:
        clips: at batch size 1 each.
        step: called after each clip.
        total: number of clips, passed to ``step``.
        left_out: is told of each clip that does not count, and why.
    """
    scoring = contestants[0].scoring
    results = [Transcripts() for _ in contestants]
    for done, clip in enumerate(clips):
        heard: dict[int, _Heard] = {}
        for turn in range(len(contestants)):
            index = (turn + done) % len(contestants)
            try:
                heard[index] = _heard(contestants[index], clip, clip.inputs[index])
            except ModelError as error:
                left_out(clip, str(error))
                break
        if len(heard) == len(contestants):
            for index, one in heard.items():
                results[index].model_seconds += one.model_seconds
                results[index].decoder_seconds += one.decoder_seconds
                nats = _divergence(heard[0], one)
                if clip.reference is None:
                    written = scoring.heard(one.text, clip.language)
                    results[index].unlabelled.append(
                        UnlabelledResult(printable(clip.id), written, nats)
                    )
                else:
                    results[index].utterances.append(
                        _scored(clip, clip.reference, one, nats, scoring)
                    )
        step(done + 1, total)
    return results


@dataclass(frozen=True)
class _Heard:
    """What one model makes of one clip; no output where it is no posteriors."""

    output: Output | None
    text: str
    loss: float | None
    model_seconds: float
    decoder_seconds: float


def _heard(contestant: BenchModel, clip: Clip, inputs: FloatArray) -> _Heard:
    model = contestant.model
    begin = time.perf_counter()
    (output,) = model.outputs([inputs])
    middle = time.perf_counter()
    if problem := model.problem_of(output):
        raise ModelError(f"{clip.id}: {contestant.name} gives {problem} for it")
    text = model.text_of(output)
    end = time.perf_counter()
    loss = None if clip.reference is None else model.loss(output, clip.reference)
    posteriors = output if model.gives_posteriors else None
    return _Heard(posteriors, text, loss, middle - begin, end - middle)


def _divergence(first: _Heard, other: _Heard) -> float | None:
    """Of the posteriors of one clip, nats per frame; None where they cannot be compared."""
    before, after = first.output, other.output
    if before is None or after is None or before.shape != after.shape or not before.size:
        return None
    scale = scale_of(before)
    rows = [log_posteriors(each, scale, "") for each in (before, after)]
    frames = len(rows[0])
    nats = divergence(rows[0], rows[1], np.ones(frames, np.float32))
    # Rounding alone may come out negative.
    return max(0.0, nats / frames)


def accuracy_of(utterances: Sequence[UtteranceResult], scoring: TextScoring, seed: int) -> Accuracy:
    """Figures over a corpus, with 95 % bootstrap intervals over utterances.

    Args:
        utterances: without any, every figure is ``None``.
        scoring: says what a unit is, and whether there are words. Texts in a script that puts no
            spaces between them have no word error rate.
        seed: of the bootstrap.
    """
    if not utterances:
        return Accuracy()
    distances = [u.distance for u in utterances]
    losses = [u.loss / u.length for u in utterances if u.loss is not None and u.length]
    cer = _error_rate(
        [error_counts(scoring.units(u.reference), scoring.units(u.hypothesis)) for u in utterances],
        seed,
    )
    wer = None
    # Between its words are no spaces, so that what lies between spaces are phrases.
    script = script_without_spaces(u.reference for u in utterances)
    if scoring.has_words and not script:
        counts = [error_counts(u.reference.split(), u.hypothesis.split()) for u in utterances]
        wer = _error_rate(counts, seed)
    return Accuracy(
        loss=math.fsum(losses) / len(losses) if losses else None,
        levenshtein=math.fsum(distances) / len(distances),
        levenshtein_ci=ratio_interval(distances, [1.0] * len(distances), seed=seed),
        cer=cer[0],
        cer_ci=cer[1],
        cer_edits=cer[2],
        wer=wer[0] if wer else None,
        wer_ci=wer[1] if wer else None,
        wer_edits=wer[2] if wer else None,
    )


def _inputs(contestants: Sequence[BenchModel], utterance: Utterance) -> tuple[FloatArray, ...]:
    made: dict[str, FloatArray] = {}
    inputs = []
    for contestant in contestants:
        model = contestant.model
        key = model.hears
        if key not in made:
            made[key] = model.features(utterance)
        inputs.append(made[key])
    return tuple(inputs)


def _scored(
    clip: Clip, reference: str, heard: _Heard, nats: float | None, scoring: TextScoring
) -> UtteranceResult:
    written = scoring.heard(heard.text, clip.language)
    loss = heard.loss
    units = scoring.units(reference)
    return UtteranceResult(
        id=printable(clip.id),
        reference=reference,
        hypothesis=written,
        distance=levenshtein(units, scoring.units(written)),
        length=len(units),
        seconds=clip.seconds,
        loss=loss if loss is not None and math.isfinite(loss) else None,
        divergence=nats,
    )


def _error_rate(counts: list[ErrorCounts], seed: int) -> tuple[float, Interval, Edits]:
    total = sum(counts, ErrorCounts())
    edits = Edits(total.insertions, total.deletions, total.substitutions, total.reference_length)
    if total.reference_length == 0:
        # Only empty references: an error rate is undefined, except 0 without edits.
        return (1.0, (1.0, 1.0), edits) if total.errors else (0.0, (0.0, 0.0), edits)
    interval = ratio_interval(
        [c.errors for c in counts], [c.reference_length for c in counts], seed=seed
    )
    return total.rate, interval, edits
