"""Find layers whose inputs have outliers that should be balanced."""

from __future__ import annotations

from dataclasses import replace

from quantkit.calibration.data import CalibrationData
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.equalize.balancing import unbalanced, worth_balancing
from quantkit.quantization.equalize.conditioning import ONE_GRID, observe_magnitudes
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import PreparedModel
from quantkit.quantization.unusable_clips import leaving_out


def with_balance(
    prepared: PreparedModel,
    feeds: CalibrationData,
    settings: QuantizeSettings,
    fitting: PtqSettings,
) -> PtqSettings:
    """``fitting`` with the layers that gain from balancing.

    Unchanged if it lists layers already.

    Args:
        prepared: the float32 model.
        feeds: unlabelled clips.
        settings: the layers to quantize, and their kernels.

    Raises:
        ModelError, InputError, CorpusError: see :func:`~quantkit.quantization.quantize_model`.
    """
    if fitting.balance:
        return fitting
    return leaving_out(prepared, feeds, lambda: _with_balance(prepared, feeds, settings, fitting))


def _with_balance(
    prepared: PreparedModel,
    feeds: CalibrationData,
    settings: QuantizeSettings,
    fitting: PtqSettings,
) -> PtqSettings:
    assigned = prepare(prepared, settings, fitting)
    junctions = {
        name: junction
        for name, junction in unbalanced(assigned.model, assigned.layers).items()
        if assigned.choices[name].compute in ONE_GRID
    }
    if not junctions:
        return fitting
    met = observe_magnitudes(assigned.model, list(junctions.values()), feeds)
    return replace(fitting, balance=worth_balancing(assigned.model, junctions, met))
