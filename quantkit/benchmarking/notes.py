"""Notes for reading the figures of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quantkit.benchmarking.schema import CorpusInfo, Host, ModelResult
from quantkit.text.scripts import script_without_spaces


def notes_on(
    corpus: CorpusInfo,
    models: Sequence[ModelResult],
    host: Host,
    *,
    uncovered: int,
    lost_vowels: int = 0,
    cutting: str = "",
    decoders: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """One sentence each.

    Args:
        uncovered: number of transcripts with characters outside the labels.
        lost_vowels: number of transcripts that normalisation took vowel signs from.
        cutting: how the loss cuts transcripts into pieces of words; empty if there are none.
        decoders: in words, by the names of the models; the report's own is that of the first.
    """
    notes = _other_decoders(decoders or {})
    if not corpus.labelled:
        notes.append(
            "No clip has a transcript, so accuracy is left out; only size, speed, memory and "
            "batch consistency were measured."
        )
    elif corpus.labelled < corpus.utterances:
        notes.append(
            f"Only {corpus.labelled} of {corpus.utterances} clips have a transcript; accuracy is "
            "over those."
        )
    if corpus.skipped_count:
        notes.append(f"{_clips(corpus.skipped_count)} left out: {_reasons(corpus)}.")
    if uncovered:
        notes.append(
            f"{uncovered} transcripts contain characters that the models cannot write; they count "
            "as errors, and their loss is left out."
        )
    if lost_vowels:
        notes.append(
            f"The normalization erases the vowel signs of {lost_vowels} transcripts, so that words "
            "which differ only there count as equal; --normalize basic keeps them."
        )
    script = script_without_spaces(utterance.reference for utterance in models[0].utterances)
    if script:
        notes.append(
            f"The transcripts are written in {script}, without spaces between words: error rates "
            "are over characters, and there is no word error rate."
        )
    for model in models:
        spoken = [each for each in model.utterances if each.reference.strip()]
        if spoken and not any(each.hypothesis.strip() for each in spoken):
            notes.append(
                f"{model.name} writes nothing for any of the {len(spoken)} clips with a "
                "transcript: they are silent, or it is broken. Its errors compare with nothing."
            )
    losses = [utterance.loss for utterance in models[0].utterances]
    without_path = losses.count(None) - uncovered
    # Models without a loss have no alignments either.
    if 0 < without_path < len(losses):
        notes.append(
            f"{_clips(without_path)} too short for the transcript to fit in; the loss leaves "
            "these clips out."
        )
    if cutting and any(loss is not None for loss in losses):
        notes.append(f"The loss is over pieces of words; {cutting}.")
    if not host.vnni and any("int8" in model.variant for model in models):
        notes.append(
            f"This CPU ({host.cpu or host.machine}) has no VNNI: int8 is slower here than on a "
            "CPU that has it."
        )
    notes += _on_processors(models, host)
    return tuple(notes)


def _reasons(corpus: CorpusInfo) -> str:
    """Those that the report knows, and how many more there are."""
    more = corpus.skipped_count - len(corpus.skipped)
    return "; ".join(corpus.skipped) + (f"; and {more} more" if more > 0 else "")


def _other_decoders(decoders: Mapping[str, str]) -> list[str]:
    """What decodes otherwise than the first, because its artifact says so."""
    first = next(iter(decoders.values()), "")
    return [f"{name} decodes: {words}." for name, words in decoders.items() if words != first]


def _on_processors(models: Sequence[ModelResult], host: Host) -> list[str]:
    """Where the integer sums of the models are exact: those that agree share a sentence."""
    named: dict[str, list[str]] = {}
    for model in models:
        if model.hosts is not None and model.hosts.layers:
            named.setdefault(model.hosts.summary(), []).append(model.name)
    notes = [f"{', '.join(names)}: {summary}." for summary, names in named.items()]
    wrong = [model.name for model in models if model.hosts is not None and model.hosts.overflowing]
    if wrong and "avx2" in host.flags and not host.vnni:
        notes.append(
            f"This CPU has AVX2 and no VNNI: the figures of {', '.join(wrong)} are those of sums "
            "that may overflow."
        )
    return notes


def _clips(count: int) -> str:
    return f"{count} clip was" if count == 1 else f"{count} clips were"
