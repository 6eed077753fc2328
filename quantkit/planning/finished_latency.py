"""Whether a finished file runs as fast as was asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quantkit.calibration.data import CalibrationData
from quantkit.planning.measure_latency import milliseconds_of_files

# What two measurements of one file differ by, as a share.
_NOISE = 0.02


@dataclass(frozen=True)
class FinishedLatency:
    """Milliseconds of a run on the clip of median length, on this host.

    Args:
        limit_ms: that were allowed.
        predicted_ms: by the plan.
        measured_ms: of the file, in turns with the float32 model, and scaled by what that took when
            its layers were timed.
        float32_ms: of the float32 model.
    """

    limit_ms: float
    predicted_ms: float
    measured_ms: float
    float32_ms: float

    @property
    def is_kept(self) -> bool:
        """Whether the limit is kept, as far as can be measured."""
        return self.measured_ms <= self.limit_ms * (1.0 + _NOISE)

    @property
    def in_words(self) -> str:
        """One line."""
        speed = f"{self.float32_ms / self.measured_ms:.1f} times as fast as float32"
        said = "within" if self.is_kept else "NOT within"
        return (
            f"latency {self.measured_ms:.3g} ms, {said} the limit of {self.limit_ms:.3g} ms "
            f"(predicted {self.predicted_ms:.3g} ms): {speed}"
        )

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self) | {"is_kept": self.is_kept}


def finished_latency(
    source: Path,
    finished: Path,
    feeds: CalibrationData,
    *,
    limit_ms: float,
    predicted_ms: float,
    float32_ms: float,
) -> FinishedLatency:
    """Run the finished file in turns with the float32 model ``source``.

    Args:
        feeds: clips; that of median length is run.
        float32_ms: of the float32 model when its layers were timed.

    Raises:
        ModelError: ONNX Runtime cannot run one of them.
    """
    reference, taken = milliseconds_of_files([source, finished], feeds)
    return FinishedLatency(limit_ms, predicted_ms, taken * float32_ms / reference, float32_ms)
