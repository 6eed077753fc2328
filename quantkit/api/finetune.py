"""A quantized model that its float model has taught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from quantkit.api.begin import Begin, nothing
from quantkit.api.defaults import CALIBRATION_CLIPS, FINETUNE_CLIPS, TRAINING_SPLIT
from quantkit.api.inputs import Audio, PathLike, float_model, optional_path, path_of
from quantkit.api.listening import calibration_clips, in_words
from quantkit.api.outputs import check_place, require_suffix, require_writable
from quantkit.api.plan_result import PlanResult
from quantkit.api.quantize import decided, plan_path
from quantkit.audio.selection import Selection
from quantkit.errors import InputError, MissingDependencyError
from quantkit.graph.plan import Plan
from quantkit.progress import Progress
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.prepared import PreparedModel

if TYPE_CHECKING:
    from quantkit.finetuning.loop import FinetuneProgress
    from quantkit.finetuning.pipeline import FinetuneResult
    from quantkit.finetuning.settings import FinetuneSettings

_STATE = "last.pt"


def finetune(
    model: PathLike,
    output: PathLike,
    decisions: str | QuantizeSettings | Plan | PlanResult | Path,
    audio: Audio,
    *,
    sample_rate: float | None = None,
    selection: Selection | None = None,
    transcripts: bool = False,
    settings: FinetuneSettings | None = None,
    folder: PathLike | None = None,
    resume: bool = False,
    threads: int = 0,
    fitting: PtqSettings | None = None,
    keep_interface: bool | None = None,
    begin: Begin = nothing,
    progress: Progress | None = None,
    on_step: Callable[[FinetuneProgress], None] = lambda step: None,
    on_resumed: Callable[[int, float], None] = lambda step, minutes: None,
) -> FinetuneResult:
    """Quantize ``model`` as ``decisions`` say, and train the result on audio.

    The float model teaches: its posteriors are learned, so clips need no transcripts.

    >>> import quantkit
    >>> made = quantkit.finetune(
    ...     "float32.onnx", "tuned.onnx", "plan.json", "recordings"
    ... )  # doctest: +SKIP
    >>> made.divergence < made.divergence_before  # doctest: +SKIP
    True

    Args:
        model: a float32 ``.onnx``, or what :func:`quantkit.export` takes.
        output: the ``.onnx`` to write.
        decisions: see :func:`quantkit.quantize`.
        audio: clips to train on, an hour and more is good; a twentieth is held out.
        sample_rate: of arrays, in hertz.
        selection: which clips; None: 10,000 of the split ``train``, where there is one. Ranges
            are calibrated on 128 of them.
        transcripts: learn the transcripts of ``audio``, too, where clips have one.
        settings: length and rates; see
            :class:`~quantkit.finetuning.settings.FinetuneSettings`.
        folder: of the run, for ``last.pt`` and ``history.json``; None: ``output`` without its
            suffix, and ``.finetune``.
        resume: go on from the state in ``folder``.
        threads: of the processor; 0: as many as PyTorch takes.
        fitting: how the first numbers are found; None: as the plan says, or the usual way.
        keep_interface: see :func:`quantkit.quantize`.
        begin: see :data:`~quantkit.api.begin.Begin`.
        progress: of what comes before the training; see :data:`~quantkit.progress.Progress`.
        on_step, on_resumed: are told how the training goes, and of steps and minutes before it.

    Raises:
        CheckpointError: the state is damaged, or of another model, plan or audio.
        InputError: ``folder`` holds an earlier run; the schedule has no way to train a codec; or
            see :func:`quantkit.quantize`.
        MissingDependencyError: PyTorch is not installed.
        ModelError: an operator of the model cannot be trained through; or see
            :func:`quantkit.quantize`.
        QuantkitError: see :func:`quantkit.quantize`.
    """
    try:
        import torch

        from quantkit.finetuning.pipeline import finetune_model
        from quantkit.finetuning.settings import FinetuneSettings
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"finetuning needs {error.name}: pip install 'quantkit[export]'"
        ) from error
    destination = path_of(output, "the output")
    require_suffix(destination, ".onnx")
    plan_file = plan_path(decisions)
    require_writable([destination], [plan_file])
    run = optional_path(folder, "the folder") or destination.with_suffix(".finetune")
    check_place(run, folder=True)
    if not resume and (run / _STATE).exists():
        raise InputError(
            f"{run} holds an earlier run: add --resume to go on, or choose another folder"
        )
    chosen = decided(decisions, plan_file)
    clips = calibration_clips(
        audio,
        sample_rate,
        selection,
        clips=FINETUNE_CLIPS,
        outputs=[destination],
        split=TRAINING_SPLIT,
    )
    if isinstance(chosen, Plan) and keep_interface is None:
        keep_interface = chosen.keep_interface
    if threads:
        torch.set_num_threads(threads)
    settings = settings or FinetuneSettings()
    with float_model(model, begin) as source:
        begin(f"train {model}, quantized, on {in_words(clips)} for {settings.minutes:g} minutes")
        return finetune_model(
            PreparedModel(source, keep_interface),
            destination,
            chosen,
            clips,
            clips.sample(CALIBRATION_CLIPS),
            run,
            settings,
            transcripts=transcripts,
            resume=resume,
            fitting=fitting,
            progress=progress,
            on_step=on_step,
            on_resumed=on_resumed,
        )
