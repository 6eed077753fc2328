"""A float32 ``.onnx`` becomes a quantized one that was trained on its own grids."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import InputError
from quantkit.finetuning.clips import TrainingClips
from quantkit.finetuning.graph import TorchGraph
from quantkit.finetuning.loop import FinetuneProgress, Finetuning
from quantkit.finetuning.settings import FinetuneSettings
from quantkit.finetuning.student import finished, make_student
from quantkit.graph.artifact import save_checked_model, total_size
from quantkit.graph.plan import Plan
from quantkit.progress import Progress
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.nothing_quantized import require_quantized
from quantkit.quantization.pipeline import choices_and_observations, lint_within_budget
from quantkit.quantization.prepared import AssignedModel, PreparedModel
from quantkit.quantization.unusable_clips import leaving_out
from quantkit.runtime.lint import LintReport
from quantkit.runtime.output_scale import posterior_output

_LOG = logging.getLogger(__name__)
_LENGTHS = "output_lengths"


@dataclass(frozen=True)
class FinetuneResult:
    """What :func:`finetune_model` wrote.

    Args:
        path: the new artifact.
        plan: the choice of each layer.
        size_bytes, source_bytes: of it, and of the float32 model.
        lint: which kernels ONNX Runtime really runs.
        steps: that were done.
        minutes: that they took, of all runs that led here.
        divergence_before, divergence: from the float model on held-out clips, in nats per frame,
            of the model as it was quantized first, and as it was written.
        clips: that were trained on.
        skipped: clips that were left out, and why.
    """

    path: Path
    plan: Plan
    size_bytes: int
    source_bytes: int
    lint: LintReport
    steps: int
    minutes: float
    divergence_before: float
    divergence: float
    clips: int
    skipped: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For programs: ``quantkit finetune --json``."""
        return {
            "path": str(self.path),
            "size_bytes": self.size_bytes,
            "source_bytes": self.source_bytes,
            "onnxruntime": self.lint.onnxruntime,
            "steps": self.steps,
            "minutes": self.minutes,
            "divergence_before": self.divergence_before,
            "divergence": self.divergence,
            "clips": self.clips,
            "skipped_clips": list(self.skipped),
        }


def finetune_model(
    source: Path | PreparedModel,
    destination: Path,
    decisions: str | QuantizeSettings | Plan,
    audio: Corpus,
    calibration: Corpus | CalibrationData,
    folder: Path,
    settings: FinetuneSettings,
    *,
    transcripts: bool = False,
    resume: bool = False,
    fitting: PtqSettings | None = None,
    progress: Progress | None = None,
    on_step: Callable[[FinetuneProgress], None] = lambda step: None,
    on_resumed: Callable[[int, float], None] = lambda step, minutes: None,
) -> FinetuneResult:
    """Quantize ``source``, let the float model teach the result, and write that.

    Args:
        decisions: a preset's name, settings of one's own, or a plan for this model.
        audio: clips to train on.
        calibration: clips that ranges, ranks and first levels are found from.
        folder: of the run: ``last.pt`` and ``history.json``.
        transcripts: whether those of ``audio`` are learned, too.
        resume: go on from ``folder``, if there is a state.
        fitting: how the first numbers are found; None: as the plan says, or the usual way.
        progress: of what comes before the training.
        on_step, on_resumed: see :class:`~quantkit.finetuning.loop.Finetuning`; steps and minutes
            of earlier runs.

    Raises:
        CheckpointError: the state in ``folder`` is damaged, or of another run.
        CorpusError: no usable clip, or none with a transcript.
        InputError: layers read a weight that they share in different forms, nothing is quantized,
            or the schedule has no way to train a codec.
        ModelError: an operator of the model has no gradient here.
        QuantkitError: see :func:`~quantkit.quantization.pipeline.quantize_model`.
    """
    prepared = PreparedModel.of(source)
    if destination.exists() and prepared.source.resolve() == destination.resolve():
        raise InputError(
            f"{destination} is the float32 model itself; write the result to another file"
        )
    feeds = prepared.feeds(calibration)

    def observing() -> tuple[AssignedModel, Any]:
        return choices_and_observations(
            prepared, destination, decisions, fitting, feeds, False, progress
        )

    assigned, observations = leaving_out(prepared, feeds, observing)
    require_quantized([assigned])
    float_graph = prepared.whole.graph(assigned.skip_passes)
    names = [value.name for value in float_graph.graph.output]
    posteriors = posterior_output(float_graph)
    lengths = _LENGTHS if _LENGTHS in names else None
    outputs = [posteriors, *([lengths] if lengths else [])]
    teacher = TorchGraph(float_graph, outputs)
    student = make_student(assigned, observations, outputs)
    with TemporaryFolder("finetune") as temporary:
        clips = TrainingClips(
            audio, prepared.info, prepared.source, temporary, transcripts=transcripts
        )
        with closing(clips):
            finetuning = Finetuning(
                teacher,
                student,
                clips,
                output=posteriors,
                lengths=lengths,
                labels=prepared.info.labels if transcripts else None,
                settings=settings,
                folder=folder,
                origin=_origin(assigned, feeds.digest(), clips, settings),
            )
            if resume and finetuning.resume():
                on_resumed(finetuning.step, finetuning.seconds / 60.0)
            finetuning.run(on_step)
            count, skipped = len(clips.trained), tuple(clips.skipped)
    _LOG.info("trained for %d steps", finetuning.step)
    model, plan = finished(assigned, observations, student, feeds)
    lint = save_checked_model(model, destination, lambda path: lint_within_budget(path, plan))
    assert finetuning.first is not None
    assert finetuning.best is not None
    return FinetuneResult(
        path=destination,
        plan=plan,
        size_bytes=total_size(destination),
        source_bytes=prepared.whole.size_bytes,
        lint=lint,
        steps=finetuning.step,
        minutes=finetuning.seconds / 60.0,
        divergence_before=finetuning.first,
        divergence=finetuning.best,
        clips=count,
        skipped=skipped,
    )


def _origin(
    assigned: AssignedModel, calibration: str, clips: TrainingClips, settings: FinetuneSettings
) -> str:
    """What tells a run from others: model, plan, calibration, the clips' lengths, the schedule."""
    said = json.dumps(
        [
            assigned.plan.model_sha256,
            [str(choice) for choice in assigned.choices.values()],
            {name: [r.outputs, r.inputs] for name, r in assigned.plan.structure.items()},
            calibration,
            [round(each, 3) for each in clips.seconds],
            # Runs of before had no other.
            *([settings.schedule] if settings.schedule != "together" else []),
            *([settings.parts] if settings.schedule == "incremental" else []),
        ]
    )
    return hashlib.sha256(said.encode()).hexdigest()
