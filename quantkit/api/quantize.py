"""A float32 model becomes a quantized one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantkit.api.begin import Begin, nothing
from quantkit.api.comparing import with_comparison
from quantkit.api.defaults import CALIBRATION_CLIPS
from quantkit.api.folders import result_place
from quantkit.api.inputs import Audio, PathLike, float_model, path_of
from quantkit.api.listening import calibration_clips, in_words
from quantkit.api.outputs import require_writable
from quantkit.api.plan_fitting import fitting_of
from quantkit.api.plan_result import PlanResult
from quantkit.audio.selection import Selection
from quantkit.audio.utterance import Corpus
from quantkit.errors import InputError
from quantkit.graph.plan import Plan, read_plan
from quantkit.progress import Progress
from quantkit.quantization.choices.presets import PRESETS, resolve
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.family import quantize_family
from quantkit.quantization.nothing_quantized import require_quantized_by
from quantkit.quantization.pipeline import QuantizeResult, quantize_model
from quantkit.quantization.prepared import PreparedModel


def quantize(
    model: PathLike,
    output: PathLike,
    decisions: str | QuantizeSettings | Plan | PlanResult | Path,
    audio: Audio | None = None,
    *,
    sample_rate: float | None = None,
    selection: Selection | None = None,
    fitting: PtqSettings | None = None,
    changes: Mapping[str, Any] | None = None,
    keep_interface: bool | None = None,
    suffix: str = "",
    begin: Begin = nothing,
    progress: Progress | None = None,
) -> QuantizeResult:
    """Write ``model`` with its layers stored and computed as ``decisions`` say.

    >>> import quantkit
    >>> made = quantkit.quantize(
    ...     "float32.onnx", "int8.onnx", "static-int8", "recordings"
    ... )  # doctest: +SKIP
    >>> made.source_bytes / made.size_bytes  # doctest: +SKIP
    3.98

    Args:
        model: a float32 ``.onnx``, or what :func:`quantkit.export` takes.
        output: the ``.onnx`` to write; of a published folder also a folder, whose files are called
            as in the original, so that the same program opens it.
        decisions: a preset's name, such as ``static-int8``; settings of one's own; a plan, or what
            :func:`quantkit.plan` returned; or the path of a ``plan.json``.
        audio: unlabelled calibration clips: a folder, a file, a
            :class:`~quantkit.audio.utterance.Corpus`, an array, or a list of files and arrays.
            Static layers need it.
        sample_rate: of arrays, in hertz.
        selection: which clips; None: 128 of the split ``calibration``, where there is one.
        fitting: how the numbers are found; None: as the plan says, or the usual way.
        changes: fields of a plan's own fitting, by name, that have other values now; see
            :class:`~quantkit.quantization.choices.ptq.PtqSettings`.
        keep_interface: whether the file has the inputs, outputs and metadata of the ``.onnx`` that
            ``model`` was exported from, so that it takes its place; None: as the plan says, else
            where there was one.
        suffix: what stands in the file names of a folder before ``.onnx``, such as ``.int8``.
        begin: see :data:`~quantkit.api.begin.Begin`.
        progress: see :data:`~quantkit.progress.Progress`.

    Raises:
        ModelError: ``model`` is damaged, or quantized already.
        NothingQuantized: it has no layer, or all of them would stay float32.
        InputError: an unknown preset, settings that no layer fits, or static layers without audio.
        FormatError: the plan is unreadable or for another model.
        AudioError, CorpusError: none of the clips is usable, or an array is no audio.
        OutputError: ``output`` cannot be written.
    """
    place = result_place(model, output, suffix)
    plan_file = plan_path(decisions)
    require_writable(place.files, [plan_file])
    chosen = decided(decisions, plan_file)
    clips = _clips(audio, sample_rate, selection, place.files)
    if isinstance(chosen, Plan):
        fitting = fitting or fitting_of(chosen, changes)
        keep_interface = chosen.keep_interface if keep_interface is None else keep_interface
    with float_model(model, begin) as source:
        begin(_steps(model, plan_file or chosen, clips))
        prepared = PreparedModel(source, place.kept(keep_interface))
        made = quantize_model(
            prepared,
            place.path,
            chosen,
            clips,
            allow_nothing=False,
            fitting=fitting,
            progress=progress,
        )
        made = with_comparison(prepared, made, clips)
    place.finish()
    return replace(made, path=place.shown)


def quantize_presets(
    model: PathLike,
    folder: PathLike,
    audio: Audio | None = None,
    *,
    presets: Sequence[str | QuantizeSettings] = tuple(PRESETS),
    sample_rate: float | None = None,
    selection: Selection | None = None,
    fitting: PtqSettings | None = None,
    keep_interface: bool | None = None,
    begin: Begin = nothing,
    progress: Progress | None = None,
) -> tuple[QuantizeResult, ...]:
    """Write ``folder/<preset>.onnx`` for each preset, to compare them.

    Args:
        presets: their names, or settings whose names become those of the files.
        model, audio, sample_rate, selection, fitting, keep_interface, begin, progress: see
            :func:`quantize`.

    Raises:
        InputError: ``folder`` is called like a model.
        NothingQuantized: no preset quantizes any layer; nothing is written.
        QuantkitError: see :func:`quantize`; nothing is written when clips are missing.
    """
    target = path_of(folder, "the folder")
    if target.suffix.lower() == ".onnx" and not target.is_dir():
        raise InputError(
            f"all presets are a folder of models, and {target} has the name of one; name a folder"
        )
    family = [resolve(each) for each in presets]
    clips = _clips(audio, sample_rate, selection, [])
    with float_model(model, begin) as source:
        begin(_steps(model, "all presets", clips))
        prepared = PreparedModel(source, keep_interface)
        require_quantized_by(prepared, family, fitting)
        members = quantize_family(
            prepared, target, family, clips, fitting=fitting, progress=progress
        )
        return tuple(with_comparison(prepared, made, clips) for made in members)


def _steps(model: PathLike, decisions: object, clips: Corpus | None) -> str:
    """What follows, in words."""
    if isinstance(decisions, QuantizeSettings):
        decisions = decisions.name
    elif isinstance(decisions, Plan):
        decisions = f"a plan of method {decisions.method}"
    calibrated = f", calibrated on {in_words(clips)}" if clips else ""
    return f"quantize {model} with {decisions}{calibrated}"


def plan_path(decisions: object) -> Path | None:
    """The file that a plan is to be read from: a path, or a text that is no preset's name."""
    if isinstance(decisions, Path):
        return decisions
    if isinstance(decisions, str) and decisions not in PRESETS and decisions.endswith(".json"):
        return Path(decisions)
    return None


def decided(
    decisions: str | QuantizeSettings | Plan | PlanResult | Path, plan_file: Path | None
) -> str | QuantizeSettings | Plan:
    """What ``decisions`` say; a plan is read from ``plan_file``.

    Raises:
        FormatError: it is unreadable.
        InputError: they are none.
    """
    if plan_file is not None:
        return read_plan(plan_file)
    if isinstance(decisions, PlanResult):
        return decisions.plan
    if not isinstance(decisions, str | QuantizeSettings | Plan):
        raise InputError(
            "decisions are a preset's name, QuantizeSettings, a plan or the path of a plan.json, "
            f"not {type(decisions).__name__}"
        )
    return decisions


def _clips(
    audio: Audio | None,
    sample_rate: float | None,
    selection: Selection | None,
    outputs: Iterable[Path],
) -> Corpus | None:
    if audio is None:
        return None
    return calibration_clips(
        audio, sample_rate, selection, clips=CALIBRATION_CLIPS, outputs=outputs
    )
