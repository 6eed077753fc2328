"""From two files and some audio to where the accuracy goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.calibration.heard import doubts, require_heard
from quantkit.errors import InputError, QuantkitError
from quantkit.explanation.layers import LayerCost, layer_costs
from quantkit.explanation.remedies import Remedy, remedies
from quantkit.explanation.result import Explanation
from quantkit.explanation.words import ClipChange, word_changes
from quantkit.graph.artifact import read_info
from quantkit.graph.info import checked_plan
from quantkit.graph.plan import Plan
from quantkit.personalization.parts import part_costs
from quantkit.planning.structured import divergence_of_structure
from quantkit.progress import Progress, no_progress
from quantkit.quantization.pipeline import observe_cached
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import PreparedModel
from quantkit.quantization.unusable_clips import leaving_out
from quantkit.runtime.transcriber import transcribe
from quantkit.sensitivity.candidate_weights import CandidateWeights
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
# A file that is this many times as far from float32 as its plan was made otherwise than said.
_TIMES_AS_FAR = 2.0
# Nats below which that is rounding.
_NEGLIGIBLE = 0.002


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
    found = _PlanCosts()
    if plan is not None:
        found = leaving_out(
            prepared, feeds, lambda: _plan_costs(prepared, plan, feeds, weighting, tell)
        )
    return Explanation(
        float_model=prepared.source,
        quantized=quantized,
        unit=feeds.task.unit,
        clips=_clips(compared.clips, prepared.source, corpus),
        divergence=compared.divergence,
        changes=compared.changes,
        plan=plan,
        simulated=found.simulated,
        structure=found.structure,
        layers=found.layers,
        graphs=graphs,
        slices=divided,
        remedies=found.remedies,
        warnings=(*_warnings(quantized, plan, compared.divergence, found), *doubts(feeds)),
    )


@dataclass(frozen=True)
class _PlanCosts:
    """What a plan's layers cost."""

    simulated: Estimate | None = None
    structure: float = 0.0
    layers: tuple[LayerCost, ...] = ()
    remedies: tuple[Remedy, ...] = ()


def _plan_costs(
    whole: PreparedModel,
    plan: Plan,
    feeds: CalibrationData,
    weighting: Weighting,
    progress: Progress,
) -> _PlanCosts:
    settings = DivergenceSettings(weighting=weighting)
    structure = 0.0
    prepared = whole
    if plan.structure:
        prepared = whole.structured(plan.structure, feeds)
        structure = divergence_of_structure(whole, prepared, feeds, settings)
    assigned = prepare(prepared, plan)
    assigned.condition(feeds)
    observations = observe_cached(assigned, feeds, progress)
    encodings = assigned.prepared.cache.encodings
    trial = PlanTrial(
        assigned.model,
        assigned.layers,
        feeds,
        settings,
        observations=observations,
        fitting=assigned.fitting,
        encodings=encodings,
    )
    with closing(trial):
        simulated = trial.divergence(assigned.choices)
        weights = CandidateWeights(
            assigned.model, assigned.layers, observations, assigned.fitting, encodings
        )
        total = simulated.mean
        layers = layer_costs(assigned, feeds, settings, weights, trial, total, progress)
        progress("remedies", 0.0)
        better = remedies(assigned, layers, trial, weights, total)
    return _PlanCosts(simulated, structure, layers, better)


def _warnings(
    quantized: Path, plan: Plan | None, divergence: Estimate, found: _PlanCosts
) -> tuple[str, ...]:
    if plan is None:
        return (
            f"{quantized} does not say how it was made, so that its layers cannot be told apart; "
            "quantkit's own files do",
        )
    assert found.simulated is not None, "there is a plan"
    foretold = found.simulated.mean + found.structure
    if divergence.mean <= _NEGLIGIBLE or divergence.mean <= _TIMES_AS_FAR * foretold:
        return ()
    return (
        f"{quantized} is {divergence.mean:.3g} nats from float32, and its plan on these clips only "
        f"{foretold:.3g}: what is below explains that part. Its numbers were found otherwise, such "
        "as on other audio, or are damaged; quantize it anew with this audio",
    )


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
