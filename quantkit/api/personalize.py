"""The best file within a budget for the speakers of some unlabelled audio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from quantkit.api.begin import Begin, nothing
from quantkit.api.defaults import ANALYSIS_CLIPS
from quantkit.api.folders import result_place
from quantkit.api.inputs import (
    Audio,
    Budget,
    PathLike,
    budget_bytes,
    float_model,
    optional_path,
)
from quantkit.api.listening import Cache, cache_folder, calibration_clips, in_words
from quantkit.api.outputs import require_writable
from quantkit.api.slicing import ByNames, RareWords, Sounds, require_slices, wanted_slices
from quantkit.audio.selection import Selection
from quantkit.graph.plan import write_plan
from quantkit.personalization.pipeline import Personalized, PersonalizeSettings
from quantkit.personalization.pipeline import personalize as make_personal
from quantkit.progress import Progress
from quantkit.quantization.prepared import PreparedModel


def personalize(
    model: PathLike,
    output: PathLike,
    audio: Audio,
    budget: Budget,
    *,
    sample_rate: float | None = None,
    selection: Selection | None = None,
    settings: PersonalizeSettings | None = None,
    keep_interface: bool | None = None,
    suffix: str = "",
    by: ByNames = (),
    rare_words: RareWords = None,
    add: Sounds = (),
    add_seed: int = 0,
    report: PathLike | None = None,
    plan: PathLike | None = None,
    cache: Cache = True,
    begin: Begin = nothing,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> Personalized:
    """Make the best model within a budget for the people in some unlabelled audio.

    Measures how much each layer's precision matters for this audio, decides the bits of every
    layer, quantizes, and compares the result with the float32 model.

    >>> import quantkit
    >>> made = quantkit.personalize(
    ...     "float32.onnx", "user.onnx", "recordings", "2.5MB"
    ... )  # doctest: +SKIP
    >>> made.summary.size_bytes <= 2_500_000  # doctest: +SKIP
    True

    Args:
        model: a float32 ``.onnx``, or what :func:`quantkit.export` takes.
        output: the ``.onnx`` to write; of a published folder also a folder, see
            :func:`quantkit.quantize`.
        audio: unlabelled clips of the user, 10 to 100 are good: a folder, a file, a
            :class:`~quantkit.audio.utterance.Corpus`, an array, or a list of files and arrays.
        budget: what the file may take on disk: ``"20MB"``, ``"19.5MiB"``, or bytes.
        sample_rate: of arrays, in hertz.
        selection: which clips; None: 32 of the split ``calibration``, where there is one.
        settings: what the plan may choose from, and how its numbers are found.
        keep_interface, suffix: see :func:`quantkit.quantize`.
        by, rare_words, add, add_seed: slices of the comparison with float32; see
            :func:`quantkit.explain`.
        report: a page (``.html``) to write that shows what was chosen and why.
        plan: the ``plan.json`` to write.
        cache: where the analysis is kept for the next time: True, the user's cache folder; False,
            nowhere; or a folder.
        begin: see :data:`~quantkit.api.begin.Begin`.
        progress: see :data:`~quantkit.progress.Progress`.
        notify: is told when the cache cannot be written.

    Raises:
        InputError: the budget is impossible, the message says what is possible; or a result would
            replace an input.
        ModelError: ``model`` is damaged, quantized already, or fails on a clip.
        AudioError, CorpusError: none of the clips is usable, or an array is no audio.
        OutputError: a result cannot be written.
    """
    place = result_place(model, output, suffix)
    page, plan_file = optional_path(report, "the report"), optional_path(plan, "the plan")
    outputs = (*place.files, page, plan_file)
    require_writable(outputs, place.inputs)
    limit = budget_bytes(budget)
    wanted = wanted_slices(by, rare_words, add, add_seed)
    folder = cache_folder(cache)
    clips = calibration_clips(audio, sample_rate, selection, clips=ANALYSIS_CLIPS, outputs=outputs)
    require_slices(wanted, clips)
    with float_model(model, begin) as source:
        prepared = PreparedModel(source, place.kept(keep_interface))
        begin(f"fit {model} into {limit:,} bytes for {in_words(clips)}")
        made = make_personal(
            prepared,
            place.path,
            prepared.feeds(clips),
            limit,
            settings,
            wanted=wanted,
            cache=folder,
            progress=progress,
            notify=notify,
        )
    filters = (selection or Selection()).filters
    made = replace(made, summary=replace(made.summary, filters=filters))
    place.finish()
    if plan_file is not None:
        write_plan(made.plan, plan_file)
    if page is not None:
        # Whoever wants no page does not wait for matplotlib.
        from quantkit.personalization.page import write_page

        write_page(page, made.summary, made.sensitivity, made.plan, made.front)
    return replace(made, summary=replace(made.summary, destination=place.shown))
