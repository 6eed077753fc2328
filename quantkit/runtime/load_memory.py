"""How much memory opening a model takes, foretold from its graph.

ONNX Runtime folds what depends on constants in passes over the graph, and keeps all that a pass
computes until the pass ends. So the peak is the largest sum, over the passes, of the constants that
are still read, the results of earlier passes and everything that this pass computes. What comes on
top was measured with ONNX Runtime 1.32 on Linux (``python -m benchmarks.load``): see the constants
below. Memory of the libraries themselves, and of a run, is not included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import helper

from quantkit.graph.artifact import model_files
from quantkit.graph.model_file import read_model_file
from quantkit.graph.partition import bodies, reads
from quantkit.graph.tensors import data_bytes

# A session without weights.
_SESSION_BYTES = 13_000_000
# While a file is parsed that holds its weights itself: this share of them, and at most so many.
_PARSED_SHARE, _MOST_PARSED_BYTES = 0.5, 28_000_000
# What cannot be used again of freed intermediates, which are of many sizes, as a share of those of
# a pass, where there are several passes.
_FRAGMENTS = 0.4


@dataclass(frozen=True)
class LoadMemory:
    """Resident memory in bytes beyond that of the libraries.

    Args:
        peak_bytes: the most while the model is opened; its graphs are opened one after the other.
        resident_bytes: what is left of it afterwards, if the C library gives freed memory back.
    """

    peak_bytes: int
    resident_bytes: int

    def to_json(self) -> dict[str, int]:
        """For programs."""
        return {"peak_bytes": self.peak_bytes, "resident_bytes": self.resident_bytes}


def load_memory(path: Path) -> LoadMemory:
    """What opening the model at ``path`` takes, all of its graphs together.

    Raises:
        ModelError: it cannot be read, or one of its files is missing.
    """
    return load_memory_of_graphs(read_model_file(file).model for file in model_files(path))


def load_memory_of_graphs(models: Iterable[onnx.ModelProto]) -> LoadMemory:
    """What opening several graphs, one after the other, takes."""
    peak = resident = 0
    for model in models:
        one = load_memory_of(model)
        peak = max(peak, resident + one.peak_bytes)
        resident += one.resident_bytes
    return LoadMemory(peak, resident)


def load_memory_of(model: onnx.ModelProto) -> LoadMemory:
    """What opening one graph takes; its weights need not be in memory."""
    folding = _Folding.of(model)
    stored = {t.name: data_bytes(t.data_type, t.dims) for t in model.graph.initializer}
    made = dict(folding.results) | {name: (-1, size) for name, size in stored.items()}
    most, largest = sum(stored.values()), 0
    for number in range(folding.passes):
        own = [size for made_in, size in folding.results.values() if made_in == number]
        earlier = sum(
            size
            for name, (made_in, size) in made.items()
            if made_in < number and folding.read_until.get(name, -1) >= number
        )
        fragments = round(_FRAGMENTS * sum(own)) if folding.passes > 1 else 0
        # The C library keeps what was freed, and nothing larger fits into it.
        on_top = sum(size for size in own if size > largest) if number else 0
        most = max(most + on_top, earlier + sum(own) + fragments)
        largest = max(largest, *own, 0)
    kept = [size for name, (_, size) in made.items() if name in folding.read_by_runs]
    parsed = sum(
        stored[tensor.name]
        for tensor in model.graph.initializer
        if tensor.data_location != onnx.TensorProto.EXTERNAL
    )
    parsing = min(round(_PARSED_SHARE * parsed), _MOST_PARSED_BYTES)
    # The largest weight is held twice while it is laid out for its kernel.
    twice = max(kept, default=0)
    most = most + twice if folding.passes > 1 else max(most, sum(kept) + twice)
    peak = most + parsing + _SESSION_BYTES
    return LoadMemory(peak, sum(kept) + _SESSION_BYTES)


@dataclass(frozen=True)
class _Folding:
    """What is folded, and when.

    Args:
        results: pass and bytes of each folded value.
        read_until: the last pass in which a value is read.
        read_by_runs: names of what is read by nodes that are not folded.
        passes: in which something is folded.
    """

    results: Mapping[str, tuple[int, int]]
    read_until: Mapping[str, int]
    read_by_runs: frozenset[str]
    passes: int

    @classmethod
    def of(cls, model: onnx.ModelProto) -> _Folding:
        sizes = _sizes(model)
        pass_of = {tensor.name: 0 for tensor in model.graph.initializer}
        readers = Counter(name for node in model.graph.node for name in node.input)
        # Floats of integers, which are folded with the QuantizeLinear behind them or not at all:
        # when they could be, and whether another reader puts it off.
        floats: dict[str, tuple[int, bool]] = {}
        results: dict[str, tuple[int, int]] = {}
        read_until: dict[str, int] = {}
        by_runs = {value.name for value in model.graph.output}
        for node in model.graph.node:
            names = [*reads(node)]
            if any(bodies(node)) or any(n not in pass_of and n not in floats for n in names):
                by_runs.update(names)
                continue
            of_floats = [floats[name] for name in names if name in floats]
            number = max([0, *(pass_of.get(name, 0) for name in names), *(n for n, _ in of_floats)])
            is_late = any(late for _, late in of_floats)
            if node.op_type == "DequantizeLinear" or (
                of_floats and node.op_type not in ("QuantizeLinear", "Shape")
            ):
                is_late = is_late or any(readers[name] > 1 for name in node.output)
                floats |= dict.fromkeys(node.output, (number, is_late))
                by_runs.update(name for name in names if name in pass_of)
                continue
            # See quantkit.codecs.rounds.
            number += is_late and node.op_type == "QuantizeLinear"
            read_until |= {name: max(read_until.get(name, 0), number) for name in names}
            pass_of |= dict.fromkeys(node.output, number)
            results |= {name: (number, sizes.get(name, 0)) for name in node.output}
        passes = 1 + max((number for number, _ in results.values()), default=0)
        return cls(results, read_until | dict.fromkeys(by_runs, passes), frozenset(by_runs), passes)


def _sizes(model: onnx.ModelProto) -> dict[str, int]:
    """Bytes of every value whose shape can be inferred."""
    declared = len(model.graph.value_info)
    model.graph.value_info.extend(_zeros(model))
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError):
        # Operators of a set that the file does not import: ONNX Runtime refuses it, too.
        return {}
    finally:
        del model.graph.value_info[declared:]
    found = {}
    for value in inferred.graph.value_info:
        kind = value.type.tensor_type
        dims = [dim.dim_value for dim in kind.shape.dim]
        fixed = kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim)
        if fixed and kind.elem_type:
            found[value.name] = data_bytes(kind.elem_type, dims)
    return found


def _zeros(model: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    """The zeros of rounds, whose shape is known only when it was folded: that of the first one."""
    single = {t.name: t.data_type for t in model.graph.initializer if [*t.dims] == [1]}
    known = {value.name for value in model.graph.value_info}
    for node in model.graph.node:
        if node.op_type == "Expand" and node.input[0] in single and node.output[0] not in known:
            yield helper.make_tensor_value_info(node.output[0], single[node.input[0]], [1])
