"""ONNX Runtime on an emulated processor, for tests that skip where it cannot be emulated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from benchmarks.emulators import haswell
from benchmarks.hosts import run_on


def run_without_vnni(models: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The results of a folder of models on x86 with AVX2 and without VNNI.

    See :mod:`benchmarks.host_worker` for the names of inputs and results.
    """
    processor = haswell()
    if processor is None:
        pytest.skip("needs an x86 processor and QEMU's qemu-x86_64-static")
    return run_on(processor, models, inputs)
