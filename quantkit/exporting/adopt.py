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
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantkit.arrays import FloatArray
from quantkit.audio.frontend import Frontend
from quantkit.audio.frontends import AnyFrontend
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.conversion.convert import convert
from quantkit.conversion.parity import runs_as
from quantkit.errors import InputError
from quantkit.exporting.foreign import (
    ForeignModel,
    Framing,
    Interface,
    framing_of,
    interface_of,
    shortest_clip,
)
from quantkit.exporting.parity import ParityReport, check_parity
from quantkit.exporting.saving import float_plan, save_artifact
from quantkit.exporting.shortest import pad_to_shortest
from quantkit.files import refuse_overwriting, sha256_of
from quantkit.graph.artifact import open_files
from quantkit.graph.editor import name_all_nodes
from quantkit.graph.info import ArtifactInfo, info_of
from quantkit.graph.weight_holders import held_in_words, require_finite_weights
from quantkit.runtime.output_scale import Scale, log_probabilities, scale_of
from quantkit.tasks.catalogue import adoptable, task_named
from quantkit.version import __version__

SAMPLE_RATE = 16_000

_PREFIX = "adopted."
_OURS = ("waveform", "features", "lengths", "log_probs", "output_lengths")
_TINY = np.finfo(np.float32).tiny
# What ``Wav2Vec2FeatureExtractor`` adds, so that silence stays silence.
_LEAST_VARIANCE = 1e-7


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
    conversion = convert(model, source, keep_interface=False)
    rate = sample_rate or SAMPLE_RATE
    interface = interface_of(model, adoption.per_frame, source)
    if normalize and interface.is_features:
        raise InputError(f"{source} takes features, and --normalize is for one of waveforms")
    with runs_as(source, model, conversion) as path:
        run = ForeignModel(path, interface, rate)
    trial = run(run.noise(run.steps(1.0)))
    scale, outputs = scale_of(trial), int(trial.shape[-1])
    meaning = adoption.meaning(labels, outputs, blank)
    framing = framing_of(run, source) if adoption.per_frame else None
    digest = sha256_of(source)
    name_all_nodes(model)
    require_finite_weights(model, source)
    held = held_in_words(model)
    frontend: AnyFrontend = Frontend(sample_rate=rate)
    if not interface.is_features:
        window = interface.fixed_samples or shortest_clip(run)
        frontend = WaveformFrontend(rate, window)
    _Wrapper(model, interface, scale, framing, normalize).apply()
    if isinstance(frontend, WaveformFrontend) and not interface.fixed_samples:
        pad_to_shortest(model, frontend.window)
    info = ArtifactInfo(
        frontend=frontend,
        fused=not interface.is_features,
        task=task,
        plan=float_plan(model, digest),
        model_sha256=digest,
        version=__version__,
        name=name or source.stem,
        **meaning,
    )
    # Models that know nothing of lengths mix clips with their padding, so batches are not compared.
    reference = _Reference(run, scale, frontend.window, normalize)
    check = partial(
        check_parity, reference, batch_sizes=(1,), tolerance=conversion.tolerance, silence=True
    )
    report = save_artifact(model, info, destination, check)
    return replace(report, notes=(*conversion.steps, *held))


class _Wrapper:
    """Puts nodes around the graph of ``model``, in place."""

    def __init__(
        self,
        model: onnx.ModelProto,
        interface: Interface,
        scale: Scale,
        framing: Framing | None,
        normalize: bool,
    ) -> None:
        self.graph = model.graph
        self.interface, self.scale, self.framing = interface, scale, framing
        self.normalize = normalize
        self.audio = "features" if interface.is_features else "waveform"
        # A graph may call its own values as we call ours.
        self.values = {name: f"{name}.original" for name in _OURS}
        self.nodes: list[onnx.NodeProto] = []

    def apply(self) -> None:
        _rename_values(self.graph, self.values)
        self._before()
        ahead, self.nodes = self.nodes, []
        self._behind()
        own = [onnx.NodeProto.FromString(n.SerializeToString()) for n in self.graph.node]
        del self.graph.node[:]
        self.graph.node.extend([*ahead, *own, *self.nodes])
        self._declare()

    def _before(self) -> None:
        interface = self.interface
        shape = self._add("Shape", [self.audio], "given", start=1, end=2)
        valid = self._add("Min", ["lengths", shape], "valid")
        target = self._own(interface.audio.name)
        masked = self.normalize or interface.mask is not None
        inside = self._inside(valid, shape) if masked else ""
        audio = self._normalized(valid, inside) if self.normalize else self.audio
        if fixed := interface.fixed_samples:
            # One more than is needed, so that something can be cut off in any case.
            pads = self._constant("pads", [0, 0, 0, fixed])
            padded = self._add("Pad", [audio, pads], "padded")
            ends = [self._constant(name, [n]) for name, n in (("start", 0), ("end", fixed))]
            cut = self._add("Slice", [padded, *ends, self._constant("axis", [1])], "cut")
        else:
            cut = audio
        axes = len(interface.audio.axes)
        if axes == 1:
            self._add("Squeeze", [cut, self._constant("batch_axis", [0])], "", target)
        elif axes == 3 and not interface.is_features:
            self._add("Unsqueeze", [cut, self._constant("channel_axis", [1])], "", target)
        else:
            self._add("Identity", [cut], "", target)
        if interface.lengths is not None:
            name = self._own(interface.lengths.name)
            self._add("Cast", [valid], "", name, to=interface.lengths.type)
        if interface.mask is not None:
            self._add("Cast", [inside], "", self._own(interface.mask.name), to=interface.mask.type)

    def _inside(self, valid: str, shape: str) -> str:
        """(batch, samples): whether a sample is the clip's own."""
        zero, one = self._constant("zero", 0), self._constant("one", 1)
        count = self._add("Squeeze", [shape], "count")
        positions = self._add("Range", [zero, count, one], "positions")
        column = self._add("Unsqueeze", [valid, self._constant("column_axis", [1])], "column")
        return self._add("Less", [positions, column], "inside")

    def _normalized(self, valid: str, inside: str) -> str:
        """Each clip with mean 0 and variance 1 over its own samples, and zeros behind them."""
        axis, nothing = self._constant("samples_axis", [1]), self._constant("zeros", np.float32(0))
        some = self._add("Max", [valid, self._constant("fewest", 1)], "some")
        column = self._add("Unsqueeze", [some, axis], "some_column")
        count = self._add("Cast", [column], "samples", to=TensorProto.FLOAT)

        def mean(value: str, part: str) -> str:
            own = self._add("Where", [inside, value, nothing], f"own_{part}")
            total = self._add("ReduceSum", [own, axis], f"total_{part}")
            return self._add("Div", [total, count], f"mean_{part}")

        apart = self._add("Sub", [self.audio, mean(self.audio, "sample")], "apart")
        variance = mean(self._add("Mul", [apart, apart], "square"), "square")
        floor = self._constant("least_variance", np.float32(_LEAST_VARIANCE))
        spread = self._add("Sqrt", [self._add("Add", [variance, floor], "variance")], "spread")
        scaled = self._add("Div", [apart, spread], "scaled")
        return self._add("Where", [inside, scaled, nothing], "normalized")

    def _behind(self) -> None:
        found = self._own(self.interface.output.name)
        if not self.interface.batched:
            found = self._add("Unsqueeze", [found, self._constant("clip_axis", [0])], "batched")
        if self.scale == "logits":
            self._add("LogSoftmax", [found], "", "log_probs", axis=-1)
        elif self.scale == "probabilities":
            tiny = self._constant("tiny", np.float32(_TINY))
            positive = self._add("Max", [found, tiny], "positive")
            self._add("Log", [positive], "", "log_probs")
        else:
            self._add("Identity", [found], "", "log_probs")
        if self.framing is not None:
            offset = self._constant("offset", self.framing.offset)
            moved = self._add("Add", [f"{_PREFIX}valid", offset], "moved")
            # Not negative, so that rounding to zero is rounding down.
            above = self._add("Max", [moved, self._constant("none", 0)], "above")
            stride = self._constant("stride", self.framing.stride)
            self._add("Div", [above, stride], "", "output_lengths")

    def _declare(self) -> None:
        interface = self.interface
        alone = len(interface.audio.axes) == 1 or not interface.batched
        batch = 1 if alone or interface.audio.axes[0] else "batch"
        shape: list[int | str] = [batch, "frames" if interface.is_features else "samples"]
        if interface.is_features:
            shape.append(interface.audio.axes[2])
        lengths = helper.make_tensor_value_info("lengths", TensorProto.INT64, [batch])
        audio = helper.make_tensor_value_info(self.audio, TensorProto.FLOAT, shape)
        last = interface.output.axes[-1] or "labels"
        frames: list[int | str] = [] if self.framing is None else ["output_frames"]
        outputs = [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, [batch, *frames, last])
        ]
        if self.framing is not None:
            outputs.append(
                helper.make_tensor_value_info("output_lengths", TensorProto.INT64, [batch])
            )
        for values, new in ((self.graph.input, [audio, lengths]), (self.graph.output, outputs)):
            del values[:]
            values.extend(new)

    def _own(self, name: str) -> str:
        """What a value of the graph is called by now."""
        return self.values.get(name, name)

    def _constant(self, name: str, value: int | list[int] | np.generic) -> str:
        array = np.array(value, np.int64 if isinstance(value, (int, list)) else None)
        self.graph.initializer.append(numpy_helper.from_array(array, _PREFIX + name))
        return _PREFIX + name

    def _add(
        self, op: str, inputs: Sequence[str], part: str, output: str = "", **attributes: Any
    ) -> str:
        output = output or _PREFIX + part
        node = helper.make_node(op, list(inputs), [output], f"{_PREFIX}{output}", **attributes)
        self.nodes.append(node)
        return output


class _Reference:
    """The foreign model itself, one clip at a time."""

    name = "the original"

    def __init__(self, run: ForeignModel, scale: Scale, window: int, normalize: bool) -> None:
        self.run, self.scale, self.normalize = run, scale, normalize
        self.unit = "frames" if run.interface.is_features else "samples"
        some = tuple(run.steps(seconds) for seconds in (0.5, 0.7, 1.0))
        if run.interface.fixed_samples:
            self.lengths: tuple[int, ...] = some[:1]
        else:
            self.lengths = some if run.interface.is_features else (window, *some)

    def clips(self, counts: Sequence[int], generator: np.random.Generator) -> list[FloatArray]:
        return [self.run.noise(count, int(generator.integers(1 << 30))) for count in counts]

    def outputs(self, clips: Sequence[FloatArray]) -> list[FloatArray]:
        prepared = [_normalized(clip) if self.normalize else clip for clip in clips]
        return [
            log_probabilities(self.run(clip), self.scale).astype(np.float32) for clip in prepared
        ]


def _normalized(clip: FloatArray) -> FloatArray:
    """As ``Wav2Vec2FeatureExtractor`` does it."""
    normalized: FloatArray = (clip - clip.mean()) / np.sqrt(clip.var() + _LEAST_VARIANCE)
    return normalized


def _rename_values(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Give values new names, in the graphs inside nodes too."""
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for value in graph.value_info:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename_values(inner, names)
