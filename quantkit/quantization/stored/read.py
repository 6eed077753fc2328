"""Read all layers of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from quantkit.arrays import FloatArray
from quantkit.errors import ModelError
from quantkit.graph.artifact import open_files
from quantkit.graph.editor import name_all_nodes
from quantkit.graph.layers import FoundLayer, locate_layers
from quantkit.quantization.storage import StoredLayer, stored_layers
from quantkit.quantization.stored.form import StoredForm
from quantkit.quantization.stored.kernels import Read, read_layer
from quantkit.quantization.stored.places import Places
from quantkit.runtime.folding import FoldedConstants


@dataclass(frozen=True)
class StoredFile:
    """The layers of a file.

    Args:
        path: of the file.
        forms: in graph order, by name.
        unread: names of layers whose form is not known, and why.
        places: of the main graph.
    """

    path: Path
    forms: Mapping[str, StoredForm]
    places: Places
    unread: Mapping[str, str] = field(default_factory=dict)

    def constant(self, name: str, shape: tuple[int, ...]) -> FloatArray | None:
        """The constant called ``name`` in float32; None where the file has none of this shape."""
        if not self.places.is_constant(name):
            return None
        found = self.places.floats(name)
        return found if found.shape == shape else None

    def input_of(self, node: str, position: int) -> FloatArray | None:
        """A constant that the node of this name reads, flat; None where it reads none there."""
        for each in self.places.nodes:
            if each.name == node and position < len(each.input):
                name = str(each.input[position])
                return (
                    self.places.floats(name).reshape(-1) if self.places.is_constant(name) else None
                )
        return None


def read_stored(path: Path) -> StoredFile:
    """The numbers of each layer of the file ``path``, of one graph or several.

    Raises:
        ModelError: it is damaged.
    """
    model = open_files(path).graph
    name_all_nodes(model)
    constants = FoldedConstants(model, path)
    main = Places(model.graph, constants)
    stored = {row.name: row for row in stored_layers(model)}
    forms: dict[str, StoredForm] = {}
    unread: dict[str, str] = {}
    for found in locate_layers(model):
        name = found.layer.name
        places = main if found.graph is model.graph else Places(found.graph, constants, main)
        try:
            read = read_layer(model, places, found)
        except (ModelError, KeyError, ValueError, StopIteration) as error:
            # Files of others hold anything; what is not known is said.
            unread[name] = str(error) or type(error).__name__
            continue
        forms[name] = _form(found, read, stored[name])
    return StoredFile(path, forms, main, unread)


def _form(found: FoundLayer, read: Read, stored: StoredLayer) -> StoredForm:
    return StoredForm(
        name=found.layer.name,
        weight=read.weight,
        axis=read.axis,
        bits=_bits(found.node, stored),
        compute=read.activation.compute,
        input_grid=read.activation.grid,
        output_grid=read.output_grid,
        bias=read.bias,
        bytes=stored.bytes,
    )


def _bits(node: onnx.NodeProto, stored: StoredLayer) -> int:
    """Of blocks, the type of the tensor does not say it."""
    said = next((int(a.i) for a in node.attribute if a.name == "bits"), 0)
    return said or stored.bits
