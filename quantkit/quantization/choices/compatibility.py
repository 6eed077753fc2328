"""Restrict choices to those that the target ONNX Runtime supports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import onnx

from quantkit.codecs.catalogue import INT8, CodecChoice
from quantkit.errors import ModelError
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.runtime.targets import Target, oldest_for


def fit_to_target(
    choices: Mapping[str, LayerChoice], target: Target
) -> tuple[dict[str, LayerChoice], dict[str, str]]:
    """Replace what ``target`` cannot load by what it can.

    ``native`` tensors become ``bitplane`` of as many bits, ``matmul-nbits`` becomes dynamic int8.

    Returns:
        the choices by layer name, and why, where one was replaced.
    """
    fitting: dict[str, LayerChoice] = {}
    notes: dict[str, str] = {}
    for name, choice in choices.items():
        if choice.codec.name == "native" and choice.codec.bits not in target.cast_bits:
            codec = CodecChoice("bitplane", choice.codec.bits)
            notes[name] = (
                f"ONNX Runtime {target.version} does not unpack {choice.codec.bits:g}-bit tensors"
            )
            choice = replace(choice, codec=codec)
        if choice.compute == "matmul-nbits" and choice.codec.bits not in target.matmul_bits:
            notes[name] = (
                f"ONNX Runtime {target.version} has no MatMulNBits of {choice.codec.bits:g} bits"
            )
            choice = LayerChoice("dynamic", INT8, range="dynamic per-batch")
        fitting[name] = choice
    return fitting, notes


def require_target(model: onnx.ModelProto, target: Target) -> None:
    """Refuse a model that ``target`` does not load.

    Raises:
        ModelError: naming the oldest release that does.
    """
    oldest = oldest_for(model)
    if oldest is None:
        raise ModelError(
            f"no ONNX Runtime is known to load all operators of the model, {target.version} "
            "included; leave out --target-runtime"
        )
    if _number(oldest) > _number(target):
        raise ModelError(
            f"the model needs ONNX Runtime {oldest.version} or later, not {target.version}: "
            "export it with an older operator set, or choose other codecs"
        )


def _number(target: Target) -> tuple[int, ...]:
    return tuple(map(int, target.version.split(".")))
