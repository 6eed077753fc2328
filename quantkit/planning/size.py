"""The exact file size of a plan, before anything is quantized.

The file is actually built, with random weights and arbitrary ranges of the right types and shapes.
So the size includes everything: names, shapes, tables and the plan's own JSON. It does not depend
on the numbers in the file, with one exception: if two layers have equal weights only after
quantization, one copy less is stored than predicted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from quantkit.calibration.observations import Observations
from quantkit.calibration.ranges import Range
from quantkit.disk.temporary import TemporaryFolder
from quantkit.graph.artifact import save_model, total_size
from quantkit.graph.plan import Plan
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.equalize.balancing import make_unlike
from quantkit.quantization.pipeline import build
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import PreparedModel
from quantkit.quantization.rewrite import static_layout
from quantkit.quantization.weights import WeightStore


@dataclass(frozen=True)
class DryBuild:
    """A file of the right size with random weights.

    Args:
        model: its graph.
        plan: with the bytes of each layer and of the whole file.
        weights: content of its initializers.
    """

    model: onnx.ModelProto
    plan: Plan
    weights: WeightStore


def with_sizes(
    source: Path | PreparedModel,
    decisions: QuantizeSettings | Plan | str,
    budget_bytes: int | None = None,
    fitting: PtqSettings | None = None,
) -> Plan:
    """The plan for ``source`` with the bytes of each layer and of the whole file.

    Args:
        budget_bytes: recorded in the plan; not enforced.
        fitting: recorded in the plan; None: that of ``decisions``, or the default.

    Raises:
        ModelError, FormatError, InputError: see :func:`~quantkit.quantization.quantize_model`.
    """
    return dry_build(source, decisions, budget_bytes, fitting).plan


def dry_build(
    source: Path | PreparedModel,
    decisions: QuantizeSettings | Plan | str,
    budget_bytes: int | None = None,
    fitting: PtqSettings | None = None,
) -> DryBuild:
    """The file that :func:`with_sizes` measures.

    Args:
        budget_bytes, fitting: see there.

    Raises:
        ModelError, FormatError, InputError: see :func:`~quantkit.quantization.quantize_model`.
    """
    assigned = prepare(source, decisions, fitting)
    make_unlike(assigned.model)
    # The size is itself part of the file: a larger number is used as placeholder.
    stand_in = 10 * assigned.prepared.size_bytes
    plan = replace(assigned.plan, budget_bytes=budget_bytes, predicted_bytes=stand_in)
    weights = WeightStore(
        {name: choice.codec.make() for name, choice in assigned.choices.items()},
        dry=True,
        largest_levels=assigned.largest_levels(),
    )
    tensors = static_layout(assigned.model, assigned.choices).tensors()
    observations = Observations(ranges=dict.fromkeys(tensors, Range(-1.0, 1.0)))
    model, plan = build(replace(assigned, plan=plan), observations, weights)
    with TemporaryFolder("size") as folder:
        path = folder / "dry.onnx"
        save_model(model, path)
        size = total_size(path)
    size += len(str(size)) - len(str(stand_in))
    return DryBuild(model, replace(plan, predicted_bytes=size), weights)
