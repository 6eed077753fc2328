"""Nodes around somebody's graph that give it the inputs and outputs of an artifact.

:mod:`quantkit.runtime.adapted_session` is the same translation in NumPy. The graph itself, and the
names of its layers, stay as they are; outputs that are no posteriors stay outputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import FormatError, ModelError
from quantkit.graph.interface import INTERFACE_KEY, STEPS, Declared, Interface
from quantkit.graph.layers import FRONTEND_PREFIX
from quantkit.graph.partition import bodies
from quantkit.graph.renaming import rename_values
from quantkit.graph.translation import PREFIX
from quantkit.runtime.adapted_session import FULL_SCALE, LEAST_VARIANCE

_OURS = ("waveform", "features", "lengths", "log_probs", "output_lengths")
_ORIGINAL = ".original"
_THEIRS = "original."
_TINY = np.finfo(np.float32).tiny


def wrap(model: onnx.ModelProto, interface: Interface) -> None:
    """Put nodes before and behind the graph of ``model``, in place."""
    _Wrapper(model, interface).apply()


def wrap_again(model: onnx.ModelProto) -> None:
    """Give an artifact that has kept the interface of its original ours, in place.

    Any other model stays as it is.

    Raises:
        ModelError: its metadata are damaged.
    """
    entry = next((each for each in model.metadata_props if each.key == INTERFACE_KEY), None)
    if entry is None:
        return
    try:
        interface = Interface.from_json(entry.value)
    except FormatError as error:
        raise ModelError(f"its quantkit metadata is damaged: {error}") from error
    if not interface.kept:
        return
    # What was widened is narrowed within the graph.
    inputs, outputs = (
        tuple(replace(each, computed="") for each in declared)
        for declared in (interface.inputs, interface.outputs)
    )
    ours = replace(interface.as_kept(False), inputs=inputs, outputs=outputs)
    wrap(model, ours)
    entry.value = ours.to_json()


def declared(
    values: Sequence[onnx.ValueInfoProto], now: Sequence[onnx.ValueInfoProto]
) -> tuple[Declared, ...]:
    """What a graph says of its inputs or outputs.

    Args:
        now: the same of the graph that is worked on, which may have other types.
    """
    types = {value.name: type_of(value) for value in now}
    kinds = {v.name: type_of(v) for v in values}
    # Programs cannot hand bfloat16 to ONNX Runtime, which hardly runs it.
    kinds |= {name: types.get(name, kind) for name, kind in kinds.items() if kind == "bfloat16"}
    found = (Declared(v.name, kinds[v.name], _shape(v)) for v in values)
    return tuple(
        replace(each, computed=types[each.name])
        if types.get(each.name, each.type) != each.type
        else each
        for each in found
    )


def type_of(value: onnx.ValueInfoProto) -> str:
    """Type of its elements, as NumPy calls it; empty for what is no tensor."""
    kind = value.type.tensor_type.elem_type
    return str(helper.tensor_dtype_to_np_dtype(kind)) if kind else ""


def renamed(name: str) -> str:
    """What a value of the original is called in the wrapped graph."""
    return name + _ORIGINAL if name in _OURS or name.startswith(PREFIX) else name


def set_nodes_apart(graph: onnx.GraphProto) -> None:
    """Rename nodes whose names begin as those that quantkit adds do, in bodies too."""
    for node in graph.node:
        if node.name.startswith((PREFIX, FRONTEND_PREFIX)):
            node.name = _THEIRS + node.name
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                set_nodes_apart(inner)


def _values_like_ours(graph: onnx.GraphProto) -> Iterator[str]:
    names = [value.name for value in (*graph.input, *graph.initializer, *graph.value_info)]
    names += [name for node in graph.node for name in node.output]
    yield from (name for name in names if name.startswith(PREFIX))
    for node in graph.node:
        for body in bodies(node):
            yield from _values_like_ours(body)


def _shape(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return ""
    sizes = [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
        for dim in tensor.shape.dim
    ]
    return json.dumps(sizes, ensure_ascii=False)


class _Wrapper:
    def __init__(self, model: onnx.ModelProto, interface: Interface) -> None:
        self.graph, self.interface = model.graph, interface
        self.audio = "features" if interface.is_features else "waveform"
        self.nodes: list[onnx.NodeProto] = []
        # Of the graph at hand, which may be another one than that of the file.
        self.types = {
            value.name: value.type.tensor_type.elem_type
            for value in (*model.graph.input, *model.graph.output)
        }
        self.bands = self._size_of("bands")
        self.labels = self._size_of("labels")

    def apply(self) -> None:
        graph, posteriors = self.graph, self.interface.output.name
        others = [value for value in graph.output if value.name != posteriors]
        set_nodes_apart(graph)
        rename_values(graph, {name: renamed(name) for name in (*_OURS, *_values_like_ours(graph))})
        self._before()
        ahead, self.nodes = self.nodes, []
        self._behind()
        own = [onnx.NodeProto.FromString(n.SerializeToString()) for n in graph.node]
        del graph.node[:]
        graph.node.extend([*ahead, *own, *self.nodes])
        self._declare(others)

    def _before(self) -> None:
        interface = self.interface
        shape = self._add("Shape", [self.audio], "given", start=1, end=2)
        valid = self._add("Min", ["lengths", shape], "valid")
        masked = interface.normalize or (interface.mask is not None and not interface.steps)
        inside = self._inside(valid, shape) if masked else ""
        audio = self._normalized(valid, inside) if interface.normalize else self.audio
        if interface.steps:
            audio = self._of_length(audio)
            shape = self._constant("fixed", [interface.steps])
            valid = self._add("Min", [valid, shape], "valid_in_window")
            if interface.mask is not None:
                inside = self._inside(valid, shape, "window_")
        if interface.batch:
            rank = 3 if interface.is_features else 2
            repeats = self._constant("repeats", [interface.batch, *[1] * (rank - 1)])
            audio = self._add("Tile", [audio, repeats], "repeated")
            times = self._constant("times", [interface.batch])
            valid = self._add("Tile", [valid, times], "repeated_lengths")
            if interface.mask is not None:
                twice = self._constant("mask_repeats", [interface.batch, 1])
                inside = self._add("Tile", [inside, twice], "repeated_mask")
        self._arrange(audio)
        self._lengths(valid, shape)
        if interface.mask is not None:
            name = interface.mask.name
            marked = self._add("Not", [inside], "outside") if interface.inverted else inside
            self._add("Cast", [marked], "", renamed(name), to=self.types[name])
        self._rate()

    def _rate(self) -> None:
        port = self.interface.rate
        if port is None:
            return
        if "batch" in port.axes and not self.interface.batch:
            sizes = self._add("Shape", [self.audio], "rate_sizes", start=0, end=1)
        else:
            count = self.interface.batch if "batch" in port.axes else 1
            sizes = self._constant("rate_sizes", [count] * len(port.axes))
        rate = self._constant("rate", self.interface.sample_rate)
        value = self._add("Cast", [rate], "rate_of_type", to=self.types[port.name])
        self._add("Expand", [value, sizes], "", renamed(port.name))

    def _lengths(self, valid: str, shape: str) -> None:
        port = self.interface.lengths
        if port is None:
            return
        if self.interface.relative:
            own = self._add("Cast", [valid], "own_steps", to=TensorProto.FLOAT)
            some = self._add("Max", [shape, self._constant("fewest_steps", [1])], "some_steps")
            all_steps = self._add("Cast", [some], "all_steps", to=TensorProto.FLOAT)
            valid = self._add("Div", [own, all_steps], "share")
        if not port.axes:
            valid = self._add("Squeeze", [valid, self._constant("only_axis", [0])], "only_length")
        elif "channel" in port.axes:
            axis = self._constant("behind_axis", [1])
            valid = self._add("Unsqueeze", [valid, axis], "lengths_in_a_column")
        self._add("Cast", [valid], "", renamed(port.name), to=self.types[port.name])

    def _arrange(self, audio: str) -> None:
        """Give the audio the axes and the type that the model wants."""
        port = self.interface.audio
        steps: list[tuple[str, list[str], dict[str, Any]]] = []
        present = ["batch", *(role for role in (*STEPS, "bands") if role in port.axes)]
        if "batch" not in port.axes:
            steps.append(("Squeeze", [self._constant("batch_axis", [0])], {}))
            present.remove("batch")
        order = [present.index(role) for role in port.axes if role != "channel"]
        if order != sorted(order):
            steps.append(("Transpose", [], {"perm": order}))
        if "channel" in port.axes:
            axis = self._constant("channel_axis", [port.axes.index("channel")])
            steps.append(("Unsqueeze", [axis], {}))
        kind = self.types[port.name]
        if kind in (TensorProto.INT16, TensorProto.INT32):
            full = np.iinfo(np.int16)
            steps.append(("Mul", [self._constant("full_scale", np.float32(FULL_SCALE))], {}))
            steps.append(("Round", [], {}))
            limits = [self._constant("lowest", np.float32(full.min))]
            steps.append(("Clip", [*limits, self._constant("highest", np.float32(full.max))], {}))
        if kind != TensorProto.FLOAT:
            steps.append(("Cast", [], {"to": kind}))
        for number, (op, inputs, attributes) in enumerate(steps or [("Identity", [], {})], 1):
            last = number >= len(steps)
            output = renamed(port.name) if last else ""
            audio = self._add(op, [audio, *inputs], f"arranged{number}", output, **attributes)

    def _of_length(self, audio: str) -> str:
        steps = self.interface.steps
        # One more than is needed, so that something can be cut off in any case.
        rest = [0] if self.interface.is_features else []
        pads = self._constant("pads", [0, 0, *rest, 0, steps, *rest])
        padded = self._add("Pad", [audio, pads], "padded")
        ends = [self._constant(name, [n]) for name, n in (("start", 0), ("end", steps))]
        return self._add("Slice", [padded, *ends, self._constant("axis", [1])], "cut")

    def _inside(self, valid: str, shape: str, part: str = "") -> str:
        """(batch, steps): whether a step is the clip's own."""
        zero, one = self._constant("zero", 0), self._constant("one", 1)
        count = self._add("Squeeze", [shape], f"{part}count")
        positions = self._add("Range", [zero, count, one], f"{part}positions")
        axis = self._constant("column_axis", [1])
        column = self._add("Unsqueeze", [valid, axis], f"{part}column")
        return self._add("Less", [positions, column], f"{part}inside")

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
        floor = self._constant("least_variance", np.float32(LEAST_VARIANCE))
        spread = self._add("Sqrt", [self._add("Add", [variance, floor], "variance")], "spread")
        scaled = self._add("Div", [apart, spread], "scaled")
        return self._add("Where", [inside, scaled, nothing], "normalized")

    def _behind(self) -> None:
        interface, port = self.interface, self.interface.output
        found = renamed(port.name)
        if self.types[port.name] != TensorProto.FLOAT:
            found = self._add("Cast", [found], "wide", to=TensorProto.FLOAT)
        axes = [role for role in port.axes if role != "channel"]
        if len(axes) < len(port.axes):
            places = [place for place, role in enumerate(port.axes) if role == "channel"]
            single = self._constant("single_axis", places)
            found = self._add("Squeeze", [found, single], "without_channel")
        if "batch" not in axes:
            found = self._add("Unsqueeze", [found, self._constant("clip_axis", [0])], "batched")
            axes = ["batch", *axes]
        order = [role for role in ("batch", "frames", "labels") if role in axes]
        if axes != order:
            perm = [axes.index(role) for role in order]
            found = self._add("Transpose", [found], "turned", perm=perm)
        if interface.batch:
            found = self._first(found, "first")
        if interface.scale == "logits":
            self._add("LogSoftmax", [found], "", "log_probs", axis=-1)
        elif interface.scale == "probabilities":
            tiny = self._constant("tiny", np.float32(_TINY))
            positive = self._add("Max", [found, tiny], "positive")
            self._add("Log", [positive], "", "log_probs")
        else:
            self._add("Identity", [found], "", "log_probs")
        if interface.per_frame:
            self._frames()

    def _first(self, value: str, part: str) -> str:
        """The first of some clips that are all the same."""
        ends = [self._constant(f"first_{name}", [n]) for name, n in (("start", 0), ("end", 1))]
        return self._add("Slice", [value, *ends], part)

    def _frames(self) -> None:
        interface = self.interface
        if interface.frames is not None:
            found = renamed(interface.frames.name)
            if not interface.frames.axes:
                axis = self._constant("counts_axis", [0])
                found = self._add("Unsqueeze", [found, axis], "counts")
            if interface.batch:
                found = self._first(found, "first_count")
            self._add("Cast", [found], "", "output_lengths", to=TensorProto.INT64)
        elif interface.stride:
            offset = self._constant("offset", interface.offset)
            moved = self._add("Add", [f"{PREFIX}valid", offset], "moved")
            # Not negative, so that rounding to zero is rounding down.
            above = self._add("Max", [moved, self._constant("none", 0)], "above")
            self._add("Div", [above, self._constant("stride", interface.stride)], "", _OURS[-1])
        else:
            frames = self._add("Shape", ["log_probs"], "all_frames", start=1, end=2)
            clips = self._add("Shape", ["log_probs"], "all_clips", start=0, end=1)
            self._add("Expand", [frames, clips], "", "output_lengths")

    def _declare(self, others: Sequence[onnx.ValueInfoProto]) -> None:
        interface = self.interface
        batch: int | str = interface.clips_at_once or "batch"
        shape: list[int | str] = [batch, "frames" if interface.is_features else "samples"]
        if interface.is_features:
            shape.append(self.bands or "bands")
        lengths = helper.make_tensor_value_info("lengths", TensorProto.INT64, [batch])
        audio = helper.make_tensor_value_info(self.audio, TensorProto.FLOAT, shape)
        frames: list[int | str] = ["output_frames"] if interface.per_frame else []
        posteriors = [batch, *frames, self.labels or "labels"]
        outputs = [helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, posteriors)]
        if interface.per_frame:
            counts = helper.make_tensor_value_info("output_lengths", TensorProto.INT64, [batch])
            outputs.append(counts)
        for value in others:
            kept = onnx.ValueInfoProto()
            kept.CopyFrom(value)
            kept.name = renamed(value.name)
            outputs.append(kept)
        for values, new in ((self.graph.input, [audio, lengths]), (self.graph.output, outputs)):
            del values[:]
            values.extend(new)

    def _size_of(self, role: str) -> int:
        """Declared size of an axis; 0 if it may be any."""
        for port in (self.interface.audio, self.interface.output):
            for value in (*self.graph.input, *self.graph.output):
                sizes = value.type.tensor_type.shape.dim
                if value.name == port.name and role in port.axes and len(sizes) == len(port.axes):
                    return int(sizes[list(port.axes).index(role)].dim_value)
        return 0

    def _constant(self, name: str, value: int | list[int] | np.generic) -> str:
        array = np.array(value, np.int64 if isinstance(value, (int, list)) else None)
        tensor = numpy_helper.from_array(array, PREFIX + name)
        if all(each.name != tensor.name for each in self.graph.initializer):
            self.graph.initializer.append(tensor)
        return PREFIX + name

    def _add(
        self, op: str, inputs: Sequence[str], part: str, output: str = "", **attributes: Any
    ) -> str:
        output = output or PREFIX + part
        node = helper.make_node(op, list(inputs), [output], f"{PREFIX}{output}", **attributes)
        self.nodes.append(node)
        return output
