"""Graphs with the inputs and outputs of another program, and what is found out about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from quantkit.disk.temporary import TemporaryFolder
from quantkit.exporting.node_builder import NodeBuilder
from quantkit.exporting.wrapping import declared
from quantkit.graph.artifact import save_model
from quantkit.graph.dead_code import drop_dead_nodes, drop_unread_initializers
from quantkit.graph.interface import Declared
from quantkit.graph.renaming import rename_values
from quantkit.graph.translating import translate
from quantkit.graph.translation import PREFIX, Step, Translation
from quantkit.runtime.session import create_session
from quantkit.text.labels import Labels

#: Begins the role of a graph while it is given another interface, so that its names are its own.
_SHIPPED = "shipped."
# A logarithm below that of any probability in float32.
_NEVER = -1e4


class Names:
    """What values are called while a graph gets another program's interface.

    Args:
        role: of the graph.
    """

    def __init__(self, role: str) -> None:
        self.role = f"{_SHIPPED}{role}"

    def ours(self, name: str) -> str:
        """An input or output of the artifact's graph."""
        return f"{self.role}.{name}"

    def between(self, name: str) -> str:
        """A value between both."""
        return f"{PREFIX}{self.role}.{name}"


def give_interface(
    model: onnx.ModelProto,
    role: str,
    *,
    takes: Sequence[Declared],
    gives: Sequence[Declared],
    before: Sequence[Step],
    behind: Sequence[Step],
) -> onnx.ModelProto:
    """``model``, an artifact's graph, with other inputs and outputs; in place.

    Args:
        role: see :class:`Names`, by which the steps call the values.
        takes, gives: what the program gives it and reads.
        before: steps from ``takes`` to what the artifact's graph takes.
        behind: steps from what that gives to ``gives``.
    """
    names = Names(role)
    graph = model.graph
    own = {value.name for value in (*graph.input, *graph.output)}
    theirs = {value.name for value in (*takes, *gives)} - own
    # Inside, a model of another folder may have values of the same names.
    rename_values(graph, {name: names.between(f"inner.{name}") for name in theirs})
    translation = Translation(
        names.role,
        "",
        declared(graph.input, graph.input),
        declared(graph.output, graph.output),
        tuple(takes),
        tuple(gives),
        tuple(before),
        tuple(behind),
    )
    translate(model, translation)
    drop_dead_nodes(graph)
    drop_unread_initializers(graph)
    # What shape inference noted is not true of values with other names.
    del graph.value_info[:]
    return model


def silence(model: onnx.ModelProto, labels: Labels) -> None:
    """Let a CTC model say the blank wherever it says a label that is not printed, in place.

    Programs print all but the blank, or leave labels out before they leave repetitions out. The
    text is the same: what is not printed divides repetitions as the blank does.
    """
    if not labels.silent:
        return
    graph, scores = model.graph, "log_probs"
    spoken = f"{_SHIPPED}spoken"
    rename_values(graph, {scores: spoken})
    build = NodeBuilder(f"{_SHIPPED}silence.", opset_of(model))
    mute = [*labels.silent, labels.blank]
    places = np.arange(len(labels))
    some = build.add("some", "Gather", spoken, build.constant("mute", mute), axis=2)
    likeliest = build.reduce("likeliest", "ReduceMax", some, [2])
    is_blank = build.constant("is_blank", places == labels.blank, np.bool_)
    is_silent = build.constant("is_silent", np.isin(places, labels.silent), np.bool_)
    never = build.constant("never", _NEVER, np.float32)
    kept = build.add("kept", "Where", is_silent, never, spoken)
    build.add("scores", "Where", is_blank, likeliest, kept, output=scores)
    graph.node.extend(build.nodes)
    graph.initializer.extend(build.tensors.values())
    for value in graph.output:
        if value.name == spoken:
            value.name = scores


def opset_of(model: onnx.ModelProto) -> int:
    """Of ONNX's own operators."""
    return next(int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx"))


def write_graph(model: onnx.ModelProto, path: Path, metadata: Mapping[str, str]) -> Path:
    """Write a graph that another program reads, with its metadata alone.

    Raises:
        OutputError: the folder or disk refuses.
    """
    del model.metadata_props[:]
    helper.set_model_props(model, dict(metadata))
    # Files of quantkit end with a checksum, which this one has not: the manifest has it.
    model.ClearField("producer_name")
    model.ClearField("producer_version")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, path)
    return path


def output_sizes(model: onnx.ModelProto, name: str) -> list[int | str]:
    """Declared axes of an input or output: sizes, and names of those that are of any size."""
    for value in (*model.graph.input, *model.graph.output):
        if value.name == name:
            return [
                dim.dim_value if dim.HasField("dim_value") else dim.dim_param
                for dim in value.type.tensor_type.shape.dim
            ]
    return []


def frames_per_row(model: onnx.ModelProto, bands: int) -> int:
    """Frames of features for each row of a CTC model's output, measured."""
    frames = 800
    with TemporaryFolder("stride") as scratch:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        session = create_session(write_graph(copy, scratch / "model.onnx", {}))
        heard = np.random.default_rng(0).standard_normal((1, frames, bands)).astype(np.float32)
        feed = {"features": heard, "lengths": np.array([frames])}
        (rows,) = session.run(["output_lengths"], feed)
    return max(1, round(frames / max(1, int(rows[0]))))
