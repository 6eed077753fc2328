"""Every preset of one model, beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from quantkit.calibration.data import Calibration
from quantkit.errors import InputError
from quantkit.progress import Progress, no_progress, portion
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.pipeline import QuantizeResult, quantize_model
from quantkit.quantization.prepared import PreparedModel


def quantize_family(
    source: Path | PreparedModel,
    folder: Path,
    family: Sequence[QuantizeSettings],
    calibration: Calibration | None = None,
    *,
    fitting: PtqSettings | None = None,
    progress: Progress | None = None,
) -> Iterator[QuantizeResult]:
    """Write ``folder/<name>.onnx`` for each of the settings, yielding each as it is done.

    Where ``source`` is one of these files, as ``folder/float32.onnx`` usually is, it is left as
    it is.

    Raises:
        InputError: nothing is written when a member needs calibration clips and there are none.
        QuantkitError: as :func:`quantize_model`.
    """
    static = [s.name for s in family if s.is_static]
    if static and calibration is None:
        raise InputError(
            f"{', '.join(static)} need calibration clips: give a folder of audio (--audio DIR)"
        )
    prepared = PreparedModel.of(source)
    feeds = None if calibration is None else prepared.feeds(calibration)
    for number, settings in enumerate(family):
        told = portion(progress or no_progress, number, len(family))
        destination = folder / f"{settings.name}.onnx"
        yield quantize_model(prepared, destination, settings, feeds, fitting=fitting, progress=told)
