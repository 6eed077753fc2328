"""Where the accuracy of a quantized model goes."""

from __future__ import annotations

from quantkit.api.begin import Begin, nothing
from quantkit.api.defaults import ANALYSIS_CLIPS
from quantkit.api.inputs import Audio, PathLike, float_model, optional_path, path_of
from quantkit.api.listening import calibration_clips, in_words
from quantkit.api.outputs import require_suffix, require_writable
from quantkit.api.slicing import ByNames, RareWords, Sounds, require_slices, wanted_slices
from quantkit.audio.selection import Selection
from quantkit.explanation.pipeline import explain_model
from quantkit.explanation.result import Explanation
from quantkit.progress import Progress
from quantkit.quantization.prepared import PreparedModel


def explain(
    model: PathLike,
    quantized: PathLike,
    audio: Audio,
    *,
    sample_rate: float | None = None,
    selection: Selection | None = None,
    by: ByNames = (),
    rare_words: RareWords = None,
    add: Sounds = (),
    add_seed: int = 0,
    report: PathLike | None = None,
    begin: Begin = nothing,
    progress: Progress | None = None,
) -> Explanation:
    """Find out which graphs and layers of a quantized model cost accuracy, for whom, and where.

    Each layer is tried alone on its grids, and given back its float numbers among all others. The
    three layers whose improvement gains most are named. No transcripts are needed; where there are
    some, errors are counted, too.

    >>> import quantkit
    >>> found = quantkit.explain("float32.onnx", "user.onnx", "recordings")  # doctest: +SKIP
    >>> found.worst[0].name, found.remedies[0].option  # doctest: +SKIP
    ('layer9.conv', 'layer9.conv=grouped:3')

    Args:
        model: the float32 ``.onnx`` that ``quantized`` was made from, or what
            :func:`quantkit.export` made it from.
        quantized: a file of :func:`quantkit.quantize` or :func:`quantkit.personalize`. Of another
            one, with the same inputs and outputs, clips and graphs are told apart, but no layers.
        audio: clips: a folder, a file, a :class:`~quantkit.audio.utterance.Corpus`, an array, or a
            list of files and arrays.
        sample_rate: of arrays, in hertz.
        selection: which clips; None: 32 of the split ``calibration``, where there is one.
        by: properties that clips are divided by; see :func:`~quantkit.slices.by.parse_by`. None
            named: language, gender, speaker and length, where the corpus tells them apart.
        rare_words: whose errors are counted apart: a file of words, or a list; None: those that are
            rare in the clips.
        add: what is added to all clips, to compare both files on them once more: ``noise:10dB``,
            ``reverb`` …; see :mod:`quantkit.audio.augmentation.alteration`.
        add_seed: of that.
        report: a page (``.html``) to write, with pictures.
        begin: see :data:`~quantkit.api.begin.Begin`.
        progress: see :data:`~quantkit.progress.Progress`.

    Raises:
        InputError: ``quantized`` was made from another model, ``report`` would replace an input, or
            clips are to be divided by what none of them has.
        ModelError: a file is damaged, or fails on a clip.
        AudioError, CorpusError: none of the clips is usable, or an array is no audio.
        OutputError: ``report`` cannot be written.
    """
    page = optional_path(report, "the report")
    require_suffix(page, ".html")
    wanted = wanted_slices(by, rare_words, add, add_seed)
    paths = [path_of(model, "the model"), path_of(quantized, "the quantized model")]
    require_writable([page], paths)
    clips = calibration_clips(audio, sample_rate, selection, clips=ANALYSIS_CLIPS, outputs=[page])
    require_slices(wanted, clips)
    with float_model(model, begin) as source, float_model(quantized, begin) as file:
        prepared = PreparedModel(source)
        begin(f"compare {quantized} with {model} on {in_words(clips)}")
        feeds = prepared.feeds(clips)
        found = explain_model(prepared, file, feeds, wanted=wanted, progress=progress)
    if page is not None:
        # Whoever wants no page does not wait for matplotlib.
        from quantkit.explanation.page import write_page

        write_page(page, found)
    return found
