"""Products and convolutions that ONNX Runtime fused with what stood around them."""

from __future__ import annotations

from quantkit.conversion.contrib.activations import add_activation
from quantkit.conversion.contrib.builder import Parts

_CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
_GEMM = ("alpha", "beta", "transA", "transB")
_GEMM_NUMBERS = ("activation_alpha", "activation_beta", "activation_gamma")


def fused_conv(parts: Parts) -> None:
    """``FusedConv``: activation(Conv(X, W, B) + Z)."""
    parts.require_only((*_CONV, "activation", "activation_params"), 4, 1)
    attributes = {name: parts.attributes[name] for name in _CONV if name in parts.attributes}
    inputs = [name for name in (parts.input(0), parts.input(1), parts.input(2)) if name]
    activation = parts.attributes.get("activation", b"").decode()
    added = parts.input(3)
    last = not activation and not added
    value = parts.add(
        "Conv", inputs, parts.output(0) if last else "", parts.node.name, **attributes
    )
    if added:
        value = parts.add("Add", [value, added], "" if activation else parts.output(0))
    if activation:
        numbers = parts.attributes.get("activation_params", ())
        add_activation(parts, activation, numbers, value, parts.output(0))


def fused_gemm(parts: Parts) -> None:
    """``FusedGemm``: activation(Gemm(A, B, C))."""
    parts.require_only((*_GEMM, "activation", *_GEMM_NUMBERS), 3, 1)
    attributes = {name: parts.attributes[name] for name in _GEMM if name in parts.attributes}
    inputs = [name for name in parts.node.input if name]
    value = parts.add("Gemm", inputs, "", parts.node.name, **attributes)
    numbers = [parts.attributes[name] for name in _GEMM_NUMBERS if name in parts.attributes]
    activation = parts.attributes.get("activation", b"").decode()
    add_activation(parts, activation, numbers, value, parts.output(0))


def fused_matmul(parts: Parts) -> None:
    """``FusedMatMul`` and ``TransposeMatMul``: α · A' × B', each with axes exchanged or not."""
    parts.require_only(("alpha", "transA", "transB", "transBatchA", "transBatchB"), 2, 1)
    factors = []
    for position, side in enumerate("AB"):
        value = parts.input(position)
        last = parts.attributes.get(f"trans{side}", 0)
        batch = parts.attributes.get(f"transBatch{side}", 0)
        if (last or batch) and (rank := parts.rank(value)) > 1:
            order = list(range(rank))
            if batch:
                # The first axis moves behind those of the batch.
                order = [*order[1:-1], order[0], order[-1]]
            if last:
                order[-2:] = order[:-3:-1]
            value = parts.add("Transpose", [value], perm=order)
        factors.append(value)
    alpha = parts.attributes.get("alpha", 1.0)
    product = parts.add("MatMul", factors, parts.output(0) if alpha == 1 else "", parts.node.name)
    if alpha != 1:
        parts.add("Mul", [product, parts.scalar(alpha)], parts.output(0))
