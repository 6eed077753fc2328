"""How much the precision of each layer of a model matters, from unlabelled audio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quantkit.api.begin import Begin, nothing
from quantkit.api.defaults import ANALYSIS_CLIPS
from quantkit.api.inputs import Audio, PathLike, float_model, optional_path, path_of
from quantkit.api.listening import Cache, cache_folder, calibration_clips, in_words, left_out
from quantkit.api.outputs import require_suffix, require_writable
from quantkit.audio.selection import Selection
from quantkit.calibration.heard import doubts
from quantkit.progress import Progress
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings
from quantkit.sensitivity.analyze import analyze as measure_sensitivity
from quantkit.sensitivity.table import LayerSensitivity, Sensitivity, write_sensitivity


@dataclass(frozen=True)
class AnalyzeResult:
    """What :func:`analyze` found out.

    Args:
        sensitivity: the table that plans are made from.
        unit: what divergences are per: frame, token or clip.
        skipped: clips that could not be used, and why.
        warnings: what makes the clips less telling.
    """

    sensitivity: Sensitivity
    unit: str
    skipped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The content of ``sensitivity.json``."""
        return self.sensitivity.to_json()

    def rows(self) -> list[dict[str, Any]]:
        """One row per layer: its metrics, then its divergence in nats for each codec."""
        return [_row(layer) for layer in self.sensitivity.layers]


def analyze(
    model: PathLike,
    audio: Audio,
    *,
    output: PathLike | None = None,
    sample_rate: float | None = None,
    selection: Selection | None = None,
    settings: AnalysisSettings | None = None,
    cache: Cache = True,
    begin: Begin = nothing,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> AnalyzeResult:
    """Measure how much the precision of each layer of a float32 model matters.

    >>> import quantkit
    >>> found = quantkit.analyze("float32.onnx", "recordings")  # doctest: +SKIP
    >>> max(found.rows(), key=lambda row: row["kl"])["layer"]  # doctest: +SKIP
    'layer11.conv'

    Args:
        model: a float32 ``.onnx``, or what :func:`quantkit.export` takes.
        audio: unlabelled clips: a folder, a file, a :class:`~quantkit.audio.utterance.Corpus`,
            an array, or a list of files and arrays.
        output: the ``sensitivity.json`` to write; None: none.
        sample_rate: of arrays, in hertz.
        selection: which clips; None: 32 of the split ``calibration``, where there is one.
        settings: what to find out; None: all metrics, and the divergence of the usual codecs.
        cache: where results are kept for the next time: True, the user's cache folder; False,
            nowhere; or a folder.
        begin: see :data:`~quantkit.api.begin.Begin`.
        progress: see :data:`~quantkit.progress.Progress`.
        notify: is told when the cache cannot be written.

    Raises:
        ModelError: ``model`` is damaged, quantized already, or fails on a clip.
        AudioError, CorpusError: none of the clips is usable, or an array is no audio.
        InputError: arrays without a sample rate, or ``output`` would replace an input.
        OutputError: ``output`` cannot be written.
    """
    destination = optional_path(output, "the output")
    require_suffix(destination, ".json")
    require_writable([destination], [path_of(model, "the model")])
    folder = cache_folder(cache)
    clips = calibration_clips(
        audio, sample_rate, selection, clips=ANALYSIS_CLIPS, outputs=[destination]
    )
    with float_model(model, begin) as source:
        prepared = PreparedModel(source)
        feeds = prepared.feeds(clips)
        begin(f"analyze {model} on {in_words(clips)}")
        table = measure_sensitivity(
            prepared, feeds, settings, cache=folder, progress=progress, notify=notify
        )
    if destination is not None:
        write_sensitivity(table, destination)
    return AnalyzeResult(table, feeds.task.unit, left_out(feeds), doubts(feeds))


def _row(layer: LayerSensitivity) -> dict[str, Any]:
    return {
        "layer": layer.name,
        "op": layer.op,
        "shape": layer.shape,
        "parameters": layer.parameters,
        **layer.metrics,
        **{str(each.codec): each.divergence for each in layer.weights},
    }
