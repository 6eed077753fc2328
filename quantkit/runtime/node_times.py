"""Which node of a model takes how much of its time, as ONNX Runtime's profiler tells it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import ModelError
from quantkit.graph.single_file import single_file
from quantkit.runtime.session import open_session, session_options

_KERNEL = "_kernel_time"

Event = Mapping[str, Any]


def node_milliseconds(
    path: Path, inputs: Mapping[str, npt.NDArray[Any]], *, threads: int = 1, runs: int = 5
) -> dict[str, float]:
    """Wall time of each node's kernel in a run, by the node's name in the optimised graph.

    Of each node the fastest run counts: what other programs take is not the model's. Profiling
    itself takes time, too: some 6 µs per node, 1 of them within its kernel.

    Args:
        inputs: of each run.
        runs: after a first one, which is not counted.

    Raises:
        ModelError: ONNX Runtime does not load the file, or its profile lacks a run.
    """
    with TemporaryFolder("profile") as folder:
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        with single_file(path) as whole:
            session = open_session(whole, options)
        for _ in range(runs + 1):
            session.run(None, dict(inputs))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    counted = [event for event in events if event.get("name") == "model_run"][1:]
    if len(counted) != runs:
        raise ModelError(
            f"{path}: ONNX Runtime's profile tells of {len(counted)} runs, not of {runs}; ask for "
            "fewer runs"
        )
    kernels = [e for e in events if e.get("cat") == "Node" and e["name"].endswith(_KERNEL)]
    each = [durations(run, kernels) for run in counted]
    return {name: min(taken[name] for taken in each if name in taken) / 1000.0 for name in each[0]}


def durations(run: Event, kernels: Iterable[Event]) -> dict[str, float]:
    """What each node took in ``run``, in microseconds; a node with a subgraph counts as a whole.

    Args:
        run, kernels: events of a profile, with start ``ts`` and duration ``dur`` in microseconds.
    """
    taken: dict[str, float] = {}
    end = run["ts"]
    for kernel in sorted(kernels, key=lambda event: (event["ts"], -event["dur"])):
        # What starts before the last one ended runs in a subgraph of it.
        if end <= kernel["ts"] <= run["ts"] + run["dur"]:
            name = kernel["name"].removesuffix(_KERNEL)
            taken[name] = taken.get(name, 0.0) + kernel["dur"]
            end = kernel["ts"] + kernel["dur"]
    return taken
