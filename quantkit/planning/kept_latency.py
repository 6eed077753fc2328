"""Plans whose files take no longer than was foretold.

The time of a plan is foretold as the sum of its layers' times, each measured among layers of its
own kind. Where kernels differ from layer to layer, the file takes longer, as values go from
integers to float and back. So a plan of any kernels is tried; if its file misses the limit, one
with the kernels of the settings, which were timed as they are, takes its place where it is faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from quantkit.calibration.data import CalibrationData
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import InputError
from quantkit.graph.plan import Plan
from quantkit.planning.correction import Correction
from quantkit.planning.fast_model import FastModel
from quantkit.planning.finished_latency import FinishedLatency, finished_latency
from quantkit.planning.measure_latency import typical_clip
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.pipeline import quantize_model


def plan_in_time(
    fast: FastModel,
    feeds: CalibrationData,
    fitting: PtqSettings,
    best: Callable[[bool], Correction],
) -> Correction:
    """The best plan for ``fast``, of kernels with which its file keeps to the limit.

    Args:
        feeds: clips; that of median length is run.
        fitting: of the plan.
        best: the best plan, with any kernels or with those of the settings.

    Raises:
        InputError: no plan keeps to the limit.
        ModelError: ONNX Runtime cannot run a file.
    """
    found = best(fast.any_compute)
    if not fast.any_compute:
        return found
    measured = _measured(fast, found.optimum.plan, feeds, fitting)
    if measured.is_kept:
        return found
    try:
        usual = best(False)
    except InputError:
        # With these kernels it is impossible by what was measured.
        return found
    faster = _measured(fast, usual.optimum.plan, feeds, fitting).measured_ms < measured.measured_ms
    return usual if faster else found


def _measured(
    fast: FastModel, plan: Plan, feeds: CalibrationData, fitting: PtqSettings
) -> FinishedLatency:
    # Its numbers do not matter, so those that are found quickest will do.
    quickly = replace(
        fitting, rounding="nearest", weight_range="min-max", bias_correction=False, smoothing=0.0
    )
    with TemporaryFolder("latency") as folder:
        path = folder / "tried.onnx"
        clip = [("clip", dict(typical_clip(feeds)))]
        quantize_model(fast.model, path, plan, clip, fitting=quickly)
        return finished_latency(
            fast.model.source,
            path,
            feeds,
            limit_ms=fast.limit_ms,
            predicted_ms=fast.times.predicted(plan),
            float32_ms=fast.float32_ms,
        )
