"""Notes for reading the figures of one run."""

from __future__ import annotations

from collections.abc import Sequence

from quantkit.benchmarking.schema import CorpusInfo, Host, ModelResult


def notes_on(
    corpus: CorpusInfo, models: Sequence[ModelResult], host: Host, *, uncovered: int
) -> tuple[str, ...]:
    """One sentence each.

    Args:
        uncovered: number of transcripts with characters outside the labels.
    """
    notes = []
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
        notes.append(f"{_clips(corpus.skipped_count)} left out, such as {corpus.skipped[0]}.")
    if uncovered:
        notes.append(
            f"{uncovered} transcripts contain characters that the models cannot write; they count "
            "as errors, and their loss is left out."
        )
    losses = [utterance.loss for utterance in models[0].utterances]
    without_path = losses.count(None) - uncovered
    # Models without a loss have no alignments either.
    if 0 < without_path < len(losses):
        notes.append(
            f"{_clips(without_path)} too short for the transcript to fit in; the loss leaves "
            "these clips out."
        )
    if not host.vnni and any("int8" in model.variant for model in models):
        notes.append(
            f"This CPU ({host.cpu or host.machine}) has no VNNI: int8 is slower here than on a "
            "CPU that has it."
        )
    notes += _on_processors(models, host)
    return tuple(notes)


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
