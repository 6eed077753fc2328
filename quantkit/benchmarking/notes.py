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
    if not host.vnni and any("int8" in model.variant for model in models):
        notes.append(
            f"This CPU ({host.cpu or host.machine}) has no VNNI: int8 is slower here than on a "
            "CPU that has it, and 8-bit sums may saturate."
        )
    return tuple(notes)


def _clips(count: int) -> str:
    return f"{count} clip was" if count == 1 else f"{count} clips were"
