"""What a finished file changes, on a few of the clips that it was calibrated on."""

from __future__ import annotations

import logging
from dataclasses import replace

from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import evenly
from quantkit.errors import CorpusError, ModelError
from quantkit.quantization.pipeline import QuantizeResult
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.model_divergence import compare_models

_LOG = logging.getLogger(__name__)

# Enough to show damage: what changes little is measured by `bench` and `personalize`.
_CLIPS, _SECONDS = 8, 60.0
# Of words, or what else the texts are counted in. int8 changes up to 4 % of those of a weak model.
_MANY_CHANGES = 0.1
# Nats per frame, token or clip; int8 of models that bear it costs a hundredth of that. Damage shows
# here before a few clips have enough words to show it.
_LARGE_DIVERGENCE = 0.05


def with_comparison(
    prepared: PreparedModel, made: QuantizeResult, clips: Corpus | None
) -> QuantizeResult:
    """``made``, with how far its posteriors and texts are from those of the float model.

    Args:
        prepared: the float model.
        clips: that ``made`` was calibrated on; None: nothing is compared.
    """
    if clips is None or made.path.resolve() == prepared.source.resolve():
        return made
    # Chosen before any is heard: of a Whisper, inputs are texts that the float model writes.
    feeds = prepared.feeds(_few(clips))
    try:
        found = compare_models(prepared, made.path, feeds, weighting="spoken")
    except (ModelError, CorpusError) as error:
        warning = f"{made.path} could not be compared with float32: {error}"
        return replace(made, warnings=(*made.warnings, warning))
    compared = replace(
        made,
        changes=found.changes,
        divergence=found.divergence.mean,
        unit=feeds.task.unit,
        compared_clips=feeds.recordings,
    )
    _LOG.info("%s", compared.changed_in_words)
    changed = 0.0 if found.changes is None else found.changes.counts[0].share
    if changed <= _MANY_CHANGES and found.divergence.mean <= _LARGE_DIVERGENCE:
        return compared
    warning = (
        f"{made.path} is far from float32: {compared.changed_in_words}; presets of other kinds, "
        "such as dynamic-int8, and `quantkit personalize` may keep more"
    )
    return replace(compared, warnings=(*compared.warnings, warning))


def _few(clips: Corpus) -> Corpus:
    wanted = min(_CLIPS, len(clips))
    if clips.seconds:
        wanted = min(wanted, max(1, int(len(clips) * _SECONDS / clips.seconds)))
    chosen = tuple(clips.utterances[place] for place in evenly(len(clips), wanted))
    return replace(clips, utterances=chosen)
