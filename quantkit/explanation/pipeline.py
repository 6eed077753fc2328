"""From two files and some audio to where the accuracy goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.calibration.heard import doubts, require_heard
from quantkit.errors import InputError, QuantkitError
from quantkit.explanation.layers import LayerCost, layer_costs
from quantkit.explanation.remedies import Remedy, remedies
from quantkit.explanation.result import Explanation
from quantkit.explanation.stored_model import as_planned, as_read
from quantkit.explanation.stored_numbers import FileWeights
from quantkit.explanation.words import ClipChange, word_changes
from quantkit.graph.artifact import read_info
from quantkit.graph.info import checked_plan
from quantkit.graph.plan import Plan
from quantkit.personalization.parts import part_costs
from quantkit.planning.structured import divergence_of_structure
from quantkit.progress import Progress, no_progress
from quantkit.quantization.pipeline import observe_cached
from quantkit.quantization.prepared import PreparedModel
from quantkit.quantization.stored import StoredFile, read_stored
from quantkit.quantization.unusable_clips import leaving_out
from quantkit.runtime.transcriber import transcribe
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.estimate import Estimate
from quantkit.sensitivity.model_divergence import ClipComparison, compare_models
from quantkit.sensitivity.plan_divergence import PlanTrial
from quantkit.sensitivity.posteriors import Weighting
from quantkit.slices.compared import Wanted, slices, slices_by_sound
from quantkit.tasks.open import open_speech_model, require_followed
from quantkit.text.decoding import Decoding
from quantkit.text.words import Word

# Clips of which it is found when changed words were said: the float model hears them once more.
_TIMED_CLIPS = 20
# A file that is this many times as far from float32 as its layers has more that is wrong.
_TIMES_AS_FAR = 2.0
# Nats below which that is rounding.
_NEGLIGIBLE = 0.002
# Layers that a warning names.
_NAMED = 6


def explain_model(
    prepared: PreparedModel,
    quantized: Path,
    feeds: CalibrationData,
    *,
    weighting: Weighting = "spoken",
    wanted: Wanted | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """Where the accuracy of ``quantized`` goes, which was made from ``prepared``.

    Args:
        feeds: unlabelled clips.
        weighting: of the frames; see :func:`~quantkit.sensitivity.posteriors.frame_weights`.
        wanted: slices; None: the usual ones.
        progress: see :data:`~quantkit.progress.Progress`.

    Raises:
        InputError: the file was made from another model, nothing in it is quantized, or clips
            are to be divided by what none of them has.
        ModelError: a file is damaged, or fails on a clip.
        CorpusError: none of the clips is usable, or the float model hears nothing in them.
    """
    tell = progress or no_progress
    info = read_info(quantized)
    plan = checked_plan(info, str(quantized))
    if plan is not None and all(row.codec == row.compute == "float32" for row in plan.layers):
        raise InputError(f"{quantized} is not quantized, so there is nothing to explain")
    if plan is not None and plan.model_sha256 != prepared.whole.sha256:
        raise InputError(
            f"{quantized} was not made from {prepared.source}: its plan is of the model with "
            f"SHA-256 {plan.model_sha256[:12]}…; give the float model that it was made from"
        )
    require_heard(prepared.original, feeds)
    tell("comparing", 0.0)
    compared = compare_models(prepared, quantized, feeds, weighting=weighting)
    corpus = feeds.source if isinstance(feeds.source, Corpus) else None
    # Before minutes are spent on layers: a property may be one that no clip has.
    divided = slices(compared.clips, corpus, feeds.task.scoring(feeds.info), wanted)
    if corpus is not None and wanted is not None:
        divided += slices_by_sound(prepared, quantized, corpus, wanted, weighting)
    graphs = part_costs(prepared, quantized, feeds, weighting)
    stored = read_stored(quantized)
    found = leaving_out(
        prepared, feeds, lambda: _layer_costs(prepared, stored, plan, feeds, weighting, tell)
    )
    return Explanation(
        float_model=prepared.source,
        quantized=quantized,
        unit=feeds.task.unit,
        clips=_clips(compared.clips, prepared.source, corpus),
        divergence=compared.divergence,
        changes=compared.changes,
        plan=found.plan,
        simulated=found.simulated,
        structure=found.structure,
        layers=found.layers,
        graphs=graphs,
        slices=divided,
        remedies=found.remedies,
        warnings=(*_warnings(quantized, plan, compared.divergence, found), *doubts(feeds)),
    )


@dataclass(frozen=True)
class _LayerCosts:
    """What a file's layers cost."""

    plan: Plan | None = None
    simulated: Estimate | None = None
    structure: float = 0.0
    layers: tuple[LayerCost, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    unread: tuple[str, ...] = ()


def _layer_costs(
    whole: PreparedModel,
    stored: StoredFile,
    plan: Plan | None,
    feeds: CalibrationData,
    weighting: Weighting,
    progress: Progress,
) -> _LayerCosts:
    settings = DivergenceSettings(weighting=weighting)
    read = as_read(whole, stored) if plan is None else as_planned(whole, plan, stored)
    if read is None:
        return _LayerCosts()
    assigned, numbers = read
    structure = 0.0
    if assigned.prepared.structure:
        structure = divergence_of_structure(whole, assigned.prepared, feeds, settings)
    # For what the layers could be instead.
    observations = observe_cached(assigned, feeds, progress)
    weights = FileWeights(assigned, observations, numbers)
    with closing(PlanTrial(assigned.model, assigned.layers, feeds, settings, weights)) as trial:
        simulated = trial.divergence(assigned.choices)
        total = simulated.mean
        layers = layer_costs(assigned, feeds, settings, weights, trial, total, progress)
        progress("remedies", 0.0)
        better = remedies(assigned, layers, trial, weights, total)
    layout = weights.layout(assigned.choices)
    layers = tuple(
        replace(
            each,
            input_range=numbers.input_range(each.name, layout),
            from_file=each.name in numbers.weights,
        )
        for each in layers
    )
    return _LayerCosts(plan or assigned.plan, simulated, structure, layers, better, numbers.unread)


def _warnings(
    quantized: Path, plan: Plan | None, divergence: Estimate, found: _LayerCosts
) -> tuple[str, ...]:
    if found.simulated is None:
        return (
            f"{quantized} does not say how it was made, and no quantized layer of it is one of the "
            "float model as quantkit reads it, so that its layers cannot be told apart",
        )
    said = []
    if plan is None:
        said.append(
            f"{quantized} does not say how it was made: its layers are told by what lies in it"
        )
    if found.unread:
        names = ", ".join(found.unread[:_NAMED]) + (" …" if len(found.unread) > _NAMED else "")
        said.append(
            f"of {len(found.unread)} of its layers not all numbers could be read, and these are as "
            f"quantkit would make them on these clips: {names}"
        )
    foretold = found.simulated.mean + found.structure
    if divergence.mean > _NEGLIGIBLE and divergence.mean > _TIMES_AS_FAR * foretold:
        said.append(
            f"{quantized} is {divergence.mean:.3g} nats from float32, and its layers only "
            f"{foretold:.3g}: the rest lies between the layers, in values that are rounded without "
            "a layer, or in other numbers of the file"
        )
    return tuple(said)


def _clips(
    clips: Sequence[ClipComparison], float_model: Path, corpus: Corpus | None
) -> tuple[ClipChange, ...]:
    """The worst first."""
    ordered = sorted(clips, key=lambda each: (-each.divergence, each.clip))
    changed = [each.clip for each in ordered if _differ(each)]
    words = _words(changed[:_TIMED_CLIPS], float_model, corpus)
    return tuple(
        ClipChange(
            each.clip,
            each.divergence,
            each.texts,
            () if each.texts is None else word_changes(each.texts, words.get(each.clip, ())),
        )
        for each in ordered
    )


def _differ(clip: ClipComparison) -> bool:
    return clip.texts is not None and clip.texts.before.split() != clip.texts.after.split()


def _words(
    clips: Sequence[str], float_model: Path, corpus: Corpus | None
) -> Mapping[str, Sequence[Word]]:
    """When the float model hears each word; none where it cannot tell."""
    known = {} if corpus is None else {each.identifier: each for each in corpus}
    wanted = [known[clip] for clip in clips if clip in known]
    decoding = Decoding(words=True)
    found: dict[str, Sequence[Word]] = {}
    try:
        if wanted:
            require_followed(float_model, decoding)
            model = open_speech_model(float_model, check=False, decoding=decoding)
            for each in wanted:
                for heard in transcribe(model, [each], failed=lambda _: None):
                    found[each.identifier] = heard.words
    except QuantkitError:
        # Without times, changes are told all the same.
        return found
    return found
