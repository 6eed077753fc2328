"""The files of a published folder, and what every layout makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from quantkit.conversion.convert import convert
from quantkit.errors import InputError, ModelError
from quantkit.exporting.parity import TOLERANCE
from quantkit.exporting.wrapping import declared
from quantkit.graph.artifact import open_files
from quantkit.graph.editor import name_all_nodes
from quantkit.graph.info import ArtifactInfo, info_of
from quantkit.graph.interface import Declared
from quantkit.graph.joined import add_prefix
from quantkit.graph.layers import find_layers
from quantkit.graph.translating import translate
from quantkit.graph.translation import Step, Translation
from quantkit.graph.weight_holders import require_finite_weights

# Of a model that others quantized: what differs in the last digit may be rounded to another level.
_TOLERANCE_ON_A_GRID = 0.1


@dataclass(frozen=True)
class FoundGraph:
    """One file of a folder.

    Args:
        file: the ``.onnx``.
        inputs, outputs: as it declares them.
        metadata: its entries.
    """

    file: Path
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    metadata: Mapping[str, str]

    @classmethod
    def of(cls, file: Path) -> FoundGraph:
        """What ``file`` says of itself.

        Raises:
            ModelError: it is damaged or missing.
        """
        model = open_files(file).graph
        constants = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in constants]
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        if info_of(model, str(file)).task:
            raise InputError(f"{file} is an artifact already, and no part of a folder")
        outputs = _with_sizes(model)
        return cls(file, declared(inputs, model.graph.input), declared(outputs, outputs), metadata)

    def input(self, *names: str) -> Declared:
        """The input with the first of these names that there is.

        Raises:
            ModelError: there is none, or it is of a type that is not taken.
        """
        return self._value(self.inputs, names, "inputs")

    def output(self, *names: str) -> Declared:
        """The output with the first of these names that there is.

        Raises:
            ModelError: as :meth:`input`.
        """
        return self._value(self.outputs, names, "outputs")

    def translation(
        self,
        role: str,
        takes: tuple[Declared, ...],
        gives: tuple[Declared, ...],
        before: tuple[Step, ...],
        behind: tuple[Step, ...],
    ) -> Translation:
        """Of this graph; outputs that no step reads are passed on under names of their own.

        Raises:
            ModelError: it takes more.
        """
        given = {name for step in before for name in step.outputs}
        known = [each.name for each in self.inputs if f"{role}.{each.name}" in given]
        if others := [each.name for each in self.inputs if each.name not in known]:
            caches = (
                "; the metadata of a model with caches say how long its chunks are"
                if any("cache" in name for name in others)
                else ""
            )
            raise ModelError(
                f"{self.file} takes {', '.join(others)} besides {', '.join(known)}, and what these "
                f"are is not known{caches}"
            )
        read = {name for step in behind for name in step.inputs}
        unread = [each for each in self.outputs if f"{role}.{each.name}" not in read]
        return Translation(
            role,
            self.file.name,
            self.inputs,
            self.outputs,
            takes,
            (*gives, *(replace(each, name=_passed_on(role, each)) for each in unread)),
            before,
            (
                *behind,
                *(
                    Step("identity", (f"{role}.{each.name}",), (_passed_on(role, each),))
                    for each in unread
                ),
            ),
            dict(self.metadata),
        )

    def size(self, value: Declared, axis: int) -> int | None:
        """Declared size of an axis of an input or output; None where it may be any."""
        size = (value.sizes or ())[axis] if value.sizes else None
        return size if isinstance(size, int) else None

    def _value(self, values: Sequence[Declared], names: Sequence[str], what: str) -> Declared:
        for name in names:
            for each in values:
                if each.name == name:
                    if each.type in ("float16", "bfloat16"):
                        raise ModelError(
                            f"{self.file} is a model of 16-bit floats ({name}): take the folder "
                            "of float32"
                        )
                    return each
        found = ", ".join(each.name for each in values) or "none"
        raise ModelError(f"{self.file} has the {what} {found}, and no {' or '.join(names)}")


def converted_graphs(
    files: Sequence[Path], prefixes: Sequence[str]
) -> tuple[list[onnx.ModelProto], list[str]]:
    """The graphs of a folder in float32 and with names of their own, and what was done.

    Args:
        prefixes: that the names of each begin with; those of its inputs and outputs stay.

    Raises:
        ModelError: one is damaged, or of a form that is not taken apart.
    """
    models: list[onnx.ModelProto] = []
    steps: list[str] = []
    for file, prefix in zip(files, prefixes, strict=True):
        model = open_files(file).graph
        steps += convert(model, file).steps
        name_all_nodes(model)
        require_finite_weights(model, file)
        add_prefix(model.graph, prefix)
        models.append(model)
    return models, steps


def translated_graphs(
    files: Sequence[Path], translations: Sequence[Translation]
) -> tuple[list[onnx.ModelProto], list[str]]:
    """The graphs of a folder with the inputs and outputs of an artifact's, and what was done.

    Raises:
        ModelError: see :func:`converted_graphs`.
    """
    models, steps = converted_graphs(files, [each.inner("") for each in translations])
    for model, translation in zip(models, translations, strict=True):
        translate(model, translation)
    return models, steps


def tolerance_of(info: ArtifactInfo) -> float:
    """How far an artifact of somebody's files may be from them."""
    return TOLERANCE if info.plan is not None else _TOLERANCE_ON_A_GRID


def is_float(model: onnx.ModelProto) -> bool:
    """Whether no layer is on a grid that somebody else laid."""
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    layers = find_layers(model)
    return all(types[layer.weight] == TensorProto.FLOAT for layer in layers)


def difference(expected: np.ndarray, found: np.ndarray) -> float:
    """The largest, relative where numbers are beyond 1; infinite where one is not finite."""
    apart = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
    # NaN compares as false with anything; it is no agreement.
    return float(apart.max(initial=0.0)) if np.isfinite(apart).all() else float("inf")


def _with_sizes(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The outputs with all sizes that follow from the graph.

    ONNX Runtime tells programs these, too, and sherpa-onnx looks at them; of a quantized graph they
    may not follow any more.
    """
    try:
        found = onnx.shape_inference.infer_shapes(model).graph.output
    except onnx.shape_inference.InferenceError:
        found = model.graph.output
    return [*found]


def _passed_on(role: str, value: Declared) -> str:
    return f"passed_on.{role}.{value.name}"
