"""Somebody's ``.onnx`` → an artifact, without PyTorch.

Nodes before and behind the graph give it the inputs ``waveform`` (or ``features``) and ``lengths``
and the outputs ``log_probs`` and, of a CTC model, ``output_lengths``. The graph itself, and the
names of its layers, stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from quantkit.arrays import FloatArray
from quantkit.audio.frontend import Frontend
from quantkit.audio.frontends import AnyFrontend, frontend_named
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.conversion.convert import convert
from quantkit.conversion.parity import runs_as
from quantkit.disk.files import refuse_overwriting, sha256_of
from quantkit.errors import InputError
from quantkit.exporting.foreign import inputs_of
from quantkit.exporting.foreign_model import ForeignModel, shortest_clip
from quantkit.exporting.frontend_graph import fuse_frontend
from quantkit.exporting.parity import ParityReport, check_parity
from quantkit.exporting.recognise import recognise
from quantkit.exporting.saving import float_plan, save_artifact
from quantkit.exporting.shortest import pad_to_shortest
from quantkit.exporting.wrapping import declared, wrap
from quantkit.graph.artifact import open_files
from quantkit.graph.editor import name_all_nodes
from quantkit.graph.info import ArtifactInfo, info_of, set_info
from quantkit.graph.interface import INTERFACE, Interface
from quantkit.graph.weight_holders import held_in_words, require_finite_weights
from quantkit.runtime.clip_parts import clip_parts
from quantkit.tasks.catalogue import adoptable, task_named
from quantkit.version import __version__

SAMPLE_RATE = 16_000


def adopt(
    source: Path,
    destination: Path,
    labels: Path,
    task: str,
    *,
    sample_rate: int | None = None,
    blank: int | None = None,
    normalize: bool = False,
    name: str = "",
    frontend: str = "",
    output_name: str = "",
    with_frontend: bool = False,
) -> ParityReport:
    """Write the CTC model or classifier at ``source`` as an artifact.

    The file appears at ``destination`` only after it has given the numbers of ``source``.

    Args:
        labels: see :mod:`quantkit.text.label_files`.
        task: one of :func:`~quantkit.tasks.catalogue.adoptable`.
        sample_rate: of its audio, in hertz; none stands for 16,000.
        blank: index of the CTC blank; see :func:`~quantkit.text.label_files.ctc_labels_of`.
        normalize: whether the model wants clips of mean 0 and variance 1, as feature extractors of
            ``transformers`` with ``do_normalize`` give them; the artifact then does that itself.
        name: what the metadata says; by default the file's.
        frontend: what makes its features; one of :data:`~quantkit.audio.frontends.FRONTENDS`.
        output_name: name of the output that holds the posteriors, where several could.
        with_frontend: make the front end of features a part of the graph, which takes waveforms
            then.

    Raises:
        InputError: labels or options do not fit the model.
        ModelError: the model is damaged, or its inputs and outputs are not those of its task.
        ParityError: the artifact differs from ``source``; nothing is written.
        OutputError: ``destination`` cannot be written.
    """
    adoption = task_named(task).adoption if task in adoptable() else None
    if adoption is None:
        raise InputError(f"there is no task {task!r}; choose {' or '.join(adoptable())}")
    refuse_overwriting(destination, (source, labels))
    opened = open_files(source)
    refuse_overwriting(destination, opened.files)
    model = opened.graph
    if info_of(model, str(source)).task:
        raise InputError(f"{source} is an artifact already")
    theirs = _declarations(model)
    conversion = convert(model, source, keep_interface=False)
    rate = sample_rate or SAMPLE_RATE
    hears: AnyFrontend = frontend_named(frontend, rate) if frontend else Frontend(sample_rate=rate)
    bands = int(getattr(hears, "mel_bands", 0)) if frontend else 0
    inputs = inputs_of(model, bands, source)
    with runs_as(source, model, conversion) as path:
        run = ForeignModel(path, hears)
    interface = recognise(
        model,
        inputs,
        run,
        source,
        per_frame=adoption.per_frame,
        labels=lambda outputs: adoption.meaning(labels, outputs, blank),
        output=output_name,
        normalize=normalize,
    )
    if normalize and interface.is_features:
        raise InputError(f"{source} takes features, and --normalize is for one of waveforms")
    outputs = run.posteriors(interface, run.noise(interface, run.steps(interface, 1.0))).shape[-1]
    meaning = adoption.meaning(labels, outputs, blank)
    interface = replace(
        interface,
        inputs=declared(theirs.input, model.graph.input),
        outputs=declared(theirs.output, model.graph.output),
    )
    digest = sha256_of(source)
    name_all_nodes(model)
    require_finite_weights(model, source)
    held = held_in_words(model)
    if not interface.is_features:
        # What is filled up to one length may be as short as it likes.
        hears = WaveformFrontend(rate, 1 if interface.steps else shortest_clip(run, interface))
    if with_frontend and (not interface.is_features or interface.steps):
        raise InputError(
            f"{source} takes {'features of one length' if interface.steps else 'waveforms'}, and "
            "--with-frontend is for one of features of any length"
        )
    wrap(model, interface)
    if isinstance(hears, WaveformFrontend) and not interface.steps:
        pad_to_shortest(model, hears.window)
    info = ArtifactInfo(
        frontend=hears,
        fused=not interface.is_features,
        task=task,
        plan=float_plan(model, digest),
        model_sha256=digest,
        version=__version__,
        name=name or source.stem,
        extra={INTERFACE: interface.to_json()},
        **meaning,
    )
    # Models that know nothing of lengths mix clips with their padding, so batches are not compared.
    apart = replace(info, fused=False) if with_frontend else None
    reference = _Reference(run, interface, hears, apart)
    check = partial(
        check_parity, reference, batch_sizes=(1,), tolerance=conversion.tolerance, silence=True
    )
    if with_frontend:
        set_info(model, info)
        # What takes waveforms does not take the place of what took features.
        model = fuse_frontend(model, hears)
        info = replace(info_of(model), extra={})
    report = save_artifact(model, info, destination, check)
    return replace(report, notes=(*conversion.steps, *held))


def _declarations(model: onnx.ModelProto) -> onnx.GraphProto:
    """Inputs and outputs of the model as it came."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    return onnx.GraphProto(input=inputs, output=model.graph.output)


class _Reference:
    """The foreign model itself, one clip at a time.

    Args:
        hears: the front end of the artifact.
        apart: of an artifact that computes features itself: what one that does not would say.
    """

    name = "the original"

    def __init__(
        self,
        run: ForeignModel,
        interface: Interface,
        hears: AnyFrontend,
        apart: ArtifactInfo | None,
    ) -> None:
        self.run, self.interface, self.hears, self.apart = run, interface, hears, apart
        in_frames = interface.is_features and apart is None
        self.unit = "frames" if in_frames else "samples"
        rate = hears.sample_rate
        some = [round(seconds * rate) for seconds in (0.5, 0.7, 1.0)]
        if in_frames:
            some = [hears.frames_of(samples) for samples in some]
        if steps := interface.steps:
            self.lengths: tuple[int, ...] = (max(1, steps // 2), steps)
        else:
            self.lengths = tuple(some) if in_frames else (hears.window, *some)

    def clips(self, counts: Sequence[int], generator: np.random.Generator) -> list[FloatArray]:
        seeds = [int(generator.integers(1 << 30)) for _ in counts]
        if self.apart is not None:
            return [_noise(count, seed) for count, seed in zip(counts, seeds, strict=True)]
        return [
            self.run.noise(self.interface, count, seed)
            for count, seed in zip(counts, seeds, strict=True)
        ]

    def outputs(self, clips: Sequence[FloatArray]) -> list[FloatArray]:
        if self.apart is not None:
            clips = [clip_parts(self.hears(clip), self.apart)[0] for clip in clips]
        return [self.run.posteriors(self.interface, clip) for clip in clips]


def _noise(samples: int, seed: int) -> FloatArray:
    generator = np.random.default_rng(seed)
    return (0.1 * generator.standard_normal(samples)).astype(np.float32)
