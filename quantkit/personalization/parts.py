"""What each graph of a model costs: the finished one with all others float.

People find out by hand which file of a transducer loses words, encoder or decoder. Each file is
therefore tried among float ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from quantkit.calibration.data import CalibrationData, evenly
from quantkit.disk.temporary import TemporaryFolder
from quantkit.graph.artifact import model_files, open_model
from quantkit.graph.external_data import with_external_data
from quantkit.graph.joined import files_of, roles_of, set_files, split
from quantkit.graph.translating import set_kept, translations_of
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.sensitivity.posteriors import Weighting

# Each graph is compared on its own.
_MOST_CLIPS = 8


@dataclass(frozen=True)
class PartCost:
    """One graph of a quantized model.

    Args:
        role: of the graph.
        file: its name.
        bytes: of the file.
        divergence: of the posteriors, in nats per unit, when this graph alone is quantized.
        interval: 95 % interval of it.
    """

    role: str
    file: str
    bytes: int
    divergence: float
    interval: tuple[float, float] | None


def part_costs(
    prepared: PreparedModel, finished: Path, feeds: CalibrationData, weighting: Weighting
) -> tuple[PartCost, ...]:
    """The cost of each graph; none of a model that has only one, or whose task does not ask.

    Args:
        finished: the quantized model.
        feeds: some of these clips are heard.

    Raises:
        ModelError: a graph does not run among float ones.
    """
    roles = roles_of(prepared.original)
    if len(roles) < 2 or not feeds.task.parts_differ:
        return ()
    some = feeds.only(evenly(feeds.clips, min(feeds.clips, _MOST_CLIPS)))
    floats, quantized = (
        _graphs(model) for model in (prepared.copy_original(), open_model(finished, check=False))
    )
    files = model_files(finished)
    found = []
    for place, role in enumerate(roles):
        chosen = [quantized[i] if i == place else each for i, each in enumerate(floats)]
        with TemporaryFolder("part") as folder:
            path = _written(chosen, folder / "part.onnx", prepared.original)
            cost = model_divergence(prepared, path, some, weighting=weighting)
        found.append(
            PartCost(
                role.role, files[place].name, files[place].stat().st_size, cost.mean, cost.interval
            )
        )
    return tuple(found)


def _graphs(model: onnx.ModelProto) -> list[onnx.ModelProto]:
    """Its graphs, which give each other values by the names that the task knows."""
    if translations_of(model) is not None:
        set_kept(model, kept=False)
    return split(model)


def _written(graphs: Sequence[onnx.ModelProto], path: Path, whole: onnx.ModelProto) -> Path:
    first = onnx.ModelProto()
    first.CopyFrom(graphs[0])
    # Whatever was done to the first graph: what is said of all of them is the same.
    del first.metadata_props[:]
    first.metadata_props.extend(whole.metadata_props)
    if translations_of(first) is not None:
        set_kept(first, kept=False)
    set_files(first, path)
    for graph, file in zip((first, *graphs[1:]), files_of(first, path), strict=True):
        # A float graph may be larger than one file can be.
        light = with_external_data(graph, file.with_name(f"{file.name}.data"))
        light.metadata_props.extend(graph.metadata_props)
        file.write_bytes(light.SerializeToString())
    return path
