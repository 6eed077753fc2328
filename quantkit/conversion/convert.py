"""All that other people's graphs need, in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from quantkit.conversion.contrib import take_apart
from quantkit.conversion.einsum_products import write_as_products
from quantkit.conversion.functions import inline_functions
from quantkit.conversion.plain_constants import make_constants_plain
from quantkit.conversion.upgrade import upgrade
from quantkit.conversion.widen import halves_in, widen
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import ModelError
from quantkit.graph.dead_code import drop_dead_nodes
from quantkit.graph.editor import fix_defaults, name_all_nodes

# How far results may be apart, |a − b| / max(1, |a|): rounding of float32, and of each of a few
# dozen layers to the 11 and the 8 bits that the narrower types have.
_TOLERANCE = 1e-4
_TOLERANCES = {"float16": 2.0**-5, "bfloat16": 2.0**-2}


@dataclass(frozen=True)
class Conversion:
    """What was done to a graph. Its weights may lie in a file that goes with this object.

    Args:
        steps: in words, in order; none where the graph is as it was.
        halves: types of 16 bits that were widened, such as ``float16``.
        folder: of those weights.
    """

    steps: tuple[str, ...] = ()
    halves: tuple[str, ...] = ()
    folder: TemporaryFolder | None = None

    @property
    def tolerance(self) -> float:
        """How far its results may be from the original's, |a − b| / max(1, |a|)."""
        return max([_TOLERANCE, *(_TOLERANCES[each] for each in self.halves)])


def convert(model: onnx.ModelProto, origin: Path, *, keep_interface: bool = True) -> Conversion:
    """Make ``model`` a float32 graph of standard operators of opset 18 or later, in place.

    Its functions are inlined, its opset is raised, 16-bit floats are widened, sparse constants are
    made dense, operators of ONNX Runtime's own are taken apart, and ``Einsum`` with a weight
    becomes a product. A graph that needs nothing of it stays as it is, but for nodes whose results
    nothing reads: those go.

    Args:
        model: its large weights may be left in a file.
        origin: names it in messages.
        keep_interface: whether inputs and outputs of 16 bits keep their types.

    Raises:
        ModelError: a step is not possible; ``model`` must not be used then.
        OutputError: there is no room for the weights.
    """
    folder = None
    try:
        steps = [inline_functions(model), make_constants_plain(model)]
        if halves := halves_in(model):
            folder = TemporaryFolder("widened")
            steps.append(widen(model, folder.path / "weights", keep_interface=keep_interface))
        steps += [upgrade(model), take_apart(model), write_as_products(model)]
    except ModelError as error:
        raise ModelError(f"{origin}: {error}") from error
    # Layers among them would be planned for, and would not be in the file.
    drop_dead_nodes(model.graph)
    done = tuple(step for step in steps if step)
    if done:
        fix_defaults(model)
        name_all_nodes(model)
    return Conversion(done, halves, folder)
