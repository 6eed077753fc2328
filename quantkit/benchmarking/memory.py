"""Memory, load time and weight bytes of a model, measured in a separate process."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from quantkit.errors import ModelError
from quantkit.processes import python_command


@dataclass(frozen=True)
class Footprint:
    """Memory and load time of one model.

    Args:
        idle_rss_bytes: resident memory of the process before the model was loaded.
        peak_rss_bytes: highest resident memory after one run.
        load_s: median seconds to open the session.
        weight_bytes: constants of the optimised graph.
    """

    idle_rss_bytes: int
    peak_rss_bytes: int
    load_s: float
    weight_bytes: int


def measure_footprint(model: Path, length: int, threads: int = 1) -> Footprint:
    """Run :mod:`quantkit.benchmarking.memory_probe` on ``model``.

    Args:
        model: the artifact.
        length: of the clip that it runs, in frames, or in samples for a fused front end.
        threads: inside one operator.

    Raises:
        ModelError: the model does not load or run, or its process was killed.
    """
    options = ["--length", str(length), "--threads", str(threads)]
    command = python_command("quantkit.benchmarking.memory_probe", *options, "--", str(model))
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode < 0:
        raise ModelError(
            f"{model}: the process that measures memory was killed by signal "
            f"{-result.returncode}; is there enough memory for the model?"
        )
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ["no reason given"]
        raise ModelError(f"{model}: memory cannot be measured: {lines[-1]}")
    found = json.loads(result.stdout.splitlines()[-1])
    return Footprint(
        idle_rss_bytes=int(found["idle_rss_bytes"]),
        peak_rss_bytes=int(found["peak_rss_bytes"]),
        load_s=float(found["load_s"]),
        weight_bytes=int(found["weight_bytes"]),
    )
