"""What each model costs, and what it still recognises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from quantkit.api.begin import Begin, nothing
from quantkit.api.folders import shown_path
from quantkit.api.inputs import Audio, PathLike, corpus_of, float_model, optional_path
from quantkit.api.outputs import check_place
from quantkit.audio.augmentation.alteration import parse_alteration
from quantkit.audio.selection import Selection
from quantkit.benchmarking.run import measured_clips, run_bench
from quantkit.benchmarking.schema import BenchReport, write_report
from quantkit.benchmarking.settings import BenchSettings
from quantkit.benchmarking.tables import write_markdown
from quantkit.disk.replacing import replaced_together
from quantkit.errors import InputError
from quantkit.progress import Progress, no_progress
from quantkit.tasks.open import require_followed

_JSON, _MARKDOWN, _PAGE = "bench.json", "report.md", "index.html"


def bench(
    models: PathLike | Sequence[PathLike],
    data: Audio,
    *,
    report: PathLike | None = None,
    sample_rate: float | None = None,
    selection: Selection | None = None,
    settings: BenchSettings | None = None,
    add: str = "",
    begin: Begin = nothing,
    progress: Progress | None = None,
    finished: Callable[[BenchReport], None] | None = None,
) -> BenchReport:
    """Measure models side by side: size, memory, speed, and the errors in their texts.

    >>> import quantkit
    >>> found = quantkit.bench(["float32.onnx", "int8.onnx"], "corpus")  # doctest: +SKIP
    >>> [(row["name"], row["speedup"]) for row in found.rows()]  # doctest: +SKIP
    [('float32', 1.0), ('int8', 4.1)]

    Args:
        models: ``.onnx`` files, or what :func:`quantkit.export` takes; speed-ups are against the
            first.
        data: clips, with transcripts where errors are to be counted: a folder, a file, a
            :class:`~quantkit.audio.utterance.Corpus`, an array, or a list of files and arrays.
        report: folder for ``bench.json``, ``report.md`` and ``index.html``; None: none is written.
        sample_rate: of arrays, in hertz.
        selection: which clips; None: all of the split ``test``, where there is one. Its language
            is also what Whisper is told, unless ``settings`` say otherwise.
        settings: how to measure.
        add: what is added to all clips, such as ``noise:10dB,reverb``, with the settings' seed; see
            :mod:`quantkit.audio.augmentation.alteration`.
        begin: see :data:`~quantkit.api.begin.Begin`.
        progress: see :data:`~quantkit.progress.Progress`.
        finished: is told what was found before the report is written.

    Raises:
        InputError: models that cannot be compared, bad settings, or arrays without a sample rate.
        ModelError: a model that does not load or run.
        AudioError, CorpusError: no usable clip, no such split, or an array that is no audio.
        MissingDependencyError: the decoder's library is not installed.
        OutputError: ``report`` cannot be written; nothing was measured then.
    """
    named = [models] if not isinstance(models, Sequence) or isinstance(models, str) else [*models]
    if not named:
        raise InputError("there is no model to measure; give at least one")
    folder = optional_path(report, "the report's folder")
    selection, settings = selection or Selection(), settings or BenchSettings()
    asked, settings = settings.decoding, _merged(settings, selection)
    if folder is not None:
        check_place(folder, folder=True)
        for name in (_JSON, _MARKDOWN, _PAGE):
            check_place(folder / name)
    corpus = selection.filtered(corpus_of(data, sample_rate))
    if add:
        sound = parse_alteration(add, settings.seed)
        corpus = corpus.altered(sound)
        settings = replace(settings, added=f"{sound}, seed {sound.seed}")
    clips, _ = measured_clips(corpus, settings)
    models_in_words = f"{len(named)} model{'s' * (len(named) != 1)}"
    begin(f"measure {models_in_words} on {len(clips)} clips of {corpus.name}")
    with ExitStack() as stack:
        paths = [stack.enter_context(float_model(model)) for model in named]
        for path in paths:
            require_followed(path, asked)
        shown = [shown_path(model, path) for model, path in zip(named, paths, strict=True)]
        found = run_bench(paths, corpus, settings, progress or no_progress, shown=shown)
    if finished is not None:
        finished(found)
    if folder is not None:
        _write(found, folder)
    return found


def _write(report: BenchReport, folder: Path) -> None:
    """Replace an earlier report as a whole."""
    # Whoever wants no page does not wait for matplotlib.
    from quantkit.benchmarking.page import write_page

    undrawn = None
    with replaced_together(folder / _JSON) as new:
        write_report(report, new / _JSON)
        write_markdown(report, new / _MARKDOWN)
        try:
            write_page(report, new / _PAGE)
        except OSError:
            raise
        except Exception as error:
            # What took minutes to measure is worth more than its page.
            undrawn = error
    if undrawn is not None:
        raise undrawn


def _merged(settings: BenchSettings, selection: Selection) -> BenchSettings:
    """What the selection says beyond the filter, where the settings do not say it."""
    decoding = settings.decoding
    return replace(
        settings,
        split=settings.split or selection.splits,
        filters=settings.filters or selection.filters,
        limit=settings.limit or selection.clips or 0,
        decoding=replace(decoding, language=decoding.language or selection.only_language),
    )
