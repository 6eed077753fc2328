"""A small Wav2Letter whose layers were found to be differently sensitive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.disk.files import sha256_of
from quantkit.graph.artifact import save_model
from quantkit.graph.plan import Plan
from quantkit.planning.methods import Method, PlanRequest
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.table import LayerSensitivity, Sensitivity
from tests.small_model import clips, masked_convolutions, run

__all__ = ["clips", "run"]

NAMES = tuple(f"layer{number}.conv" for number in range(1, 7))
#: Layers 3, 1, 6, 2, 5, 4 in ascending order.
MEDIANS = (0.2, 0.4, 0.1, 0.9, 0.5, 0.3)
SETTINGS = QuantizeSettings(compute="static")


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough that the decoders' tables do not count for more than the weights."""
    path = tmp_path_factory.mktemp("methods") / "float32.onnx"
    save_model(masked_convolutions(width=4), path)
    return path


def plan_of(
    method: Method,
    source: Path,
    budget: int,
    sensitivity: Sensitivity | None = None,
    settings: QuantizeSettings = SETTINGS,
    **asked: Any,
) -> Plan:
    """What ``method`` answers to a request, whose further fields are ``asked``."""
    model = PreparedModel.of(source)
    return method.plan(PlanRequest(model, budget, settings, sensitivity, **asked))


def table(model_sha256: str, **metrics: tuple[float, ...]) -> Sensitivity:
    """A sensitivity table with nothing but metrics, one value for each layer."""
    rows = [
        LayerSensitivity(
            name, "Conv", (1, 1, 1), 1, {metric: values[i] for metric, values in metrics.items()}
        )
        for i, name in enumerate(NAMES)
    ]
    return Sensitivity(model_sha256, "00" * 32, 4, 8.0, {}, tuple(rows))


@pytest.fixture(scope="session")
def between(source: Path) -> int:
    """A budget halfway between the files of 3 and of 4 bits."""
    sizes = [
        with_sizes(source, replace(SETTINGS, codec=CodecChoice("bitplane", bits)), 10**6)
        for bits in (3, 4)
    ]
    return sum(plan.predicted_bytes or 0 for plan in sizes) // 2


@pytest.fixture(scope="session")
def sensitivity(source: Path) -> Sensitivity:
    return table(sha256_of(source), median=MEDIANS, variance=tuple(-m for m in MEDIANS))
