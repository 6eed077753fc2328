"""Settings with names: the variants of the source work, and better ones.

``int8``, ``semi-int8`` and ``skip-ends`` are those of "Quantization of CNN-based Language
Models": dynamic int8, one activation range over each padded batch. Theirs ran on ``ConvInteger``
and was slower than float32; ours says the same in MatMulInteger (see
:mod:`quantkit.quantization.kernels.integer_matmul`) and is not.
"""

from __future__ import annotations

from types import MappingProxyType

from quantkit.errors import InputError
from quantkit.graph.operators import operators
from quantkit.quantization.choices.settings import QuantizeSettings

# Of operators that are best computed in another way than with a calibrated range.
_UNUSUAL = {each.name: each.usual_compute for each in operators() if each.usual_compute != "static"}

#: Every preset by name, in the order in which reports list them.
PRESETS = MappingProxyType(
    {
        "float32": QuantizeSettings("float32", compute="float32"),
        "int8": QuantizeSettings("int8", compute="dynamic"),
        "semi-int8": QuantizeSettings("semi-int8", compute="dynamic", exclude=("1",)),
        "skip-ends": QuantizeSettings(
            "skip-ends", compute="dynamic", exclude=("1", "2", "-2", "-1")
        ),
        "dynamic-int8": QuantizeSettings(
            "dynamic-int8", compute="dynamic", dynamic_range="per-clip"
        ),
        "static-int8": QuantizeSettings("static-int8", compute="static"),
        "hybrid": QuantizeSettings("hybrid", compute="static", operators=_UNUSUAL),
    }
)

#: One line for each preset, for help texts.
DESCRIPTIONS = MappingProxyType(
    {
        "float32": "nothing quantized",
        "int8": "all layers int8, one run-time activation range per batch (the source work's)",
        "semi-int8": "as int8, but the first layer float32",
        "skip-ends": "as int8, but the first two and last two layers float32",
        "dynamic-int8": "all layers int8, a run-time activation range per clip",
        "static-int8": "all layers int8, calibrated activation ranges",
        "hybrid": "convolutions as static-int8, matrix products and LSTMs dynamic",
    }
)


def preset(name: str) -> QuantizeSettings:
    """The settings called ``name``.

    >>> preset("semi-int8").exclude
    ('1',)

    Raises:
        InputError: no preset has this name.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise InputError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}") from None


def resolve(settings: str | QuantizeSettings) -> QuantizeSettings:
    """Settings as they are, or those of the preset of that name."""
    return preset(settings) if isinstance(settings, str) else settings
