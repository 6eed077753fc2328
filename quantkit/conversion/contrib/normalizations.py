"""Normalizations that ONNX Runtime fused with the sums before them."""

from __future__ import annotations

from quantkit.conversion.contrib.builder import Parts, Unclear

# As ContribOperators.md has it, where the attribute is left out.
_EPSILON = 1e-12


def _sum_before(parts: Parts, bias: int) -> str:
    """Input and skip, and a bias where there is one."""
    terms = [parts.input(0), parts.input(1), *filter(None, [parts.input(bias)])]
    wanted = parts.output(3)
    value = terms[0]
    for number, term in enumerate(terms[1:], start=2):
        value = parts.add("Add", [value, term], wanted if number == len(terms) else "")
    return value


def _refuse_statistics(parts: Parts, positions: tuple[int, ...]) -> None:
    if any(parts.output(position) for position in positions):
        raise Unclear("its statistics are wanted")


def skip_layer_norm(parts: Parts) -> None:
    """``SkipLayerNormalization`` of input, skip, gain, and perhaps offset and bias."""
    parts.require_only(("epsilon",), 5, 4)
    _refuse_statistics(parts, (1, 2))
    value = _sum_before(parts, 4)
    inputs = [value, parts.input(2), *filter(None, [parts.input(3)])]
    epsilon = parts.attributes.get("epsilon", _EPSILON)
    parts.add(
        "LayerNormalization", inputs, parts.output(0), parts.node.name, axis=-1, epsilon=epsilon
    )


def skip_simplified_layer_norm(parts: Parts) -> None:
    """``SkipSimplifiedLayerNormalization`` of input, skip, gain, and perhaps a bias."""
    parts.require_only(("epsilon",), 4, 4)
    _refuse_statistics(parts, (1, 2))
    value = _sum_before(parts, 3)
    _root_mean_square(parts, value, parts.input(2), parts.attributes.get("epsilon", _EPSILON))


def simplified_layer_norm(parts: Parts) -> None:
    """``SimplifiedLayerNormalization``, which subtracts no mean."""
    parts.require_only(("axis", "epsilon", "stash_type"), 2, 2)
    _refuse_statistics(parts, (1,))
    if parts.attributes.get("axis", -1) != -1 and (
        parts.attributes["axis"] != parts.rank(parts.input(0)) - 1
    ):
        raise Unclear("it takes several axes as one")
    epsilon = parts.attributes.get("epsilon", 1e-5)
    _root_mean_square(parts, parts.input(0), parts.input(1), epsilon)


def _root_mean_square(parts: Parts, value: str, gain: str, epsilon: float) -> None:
    mean = parts.add("ReduceMean", [parts.add("Mul", [value, value]), parts.ints(-1)], keepdims=1)
    size = parts.add("Sqrt", [parts.add("Add", [mean, parts.scalar(epsilon)])])
    parts.add("Mul", [parts.add("Div", [value, size]), gain], parts.output(0))


def embed_layer_norm(parts: Parts) -> None:
    """``EmbedLayerNormalization``: of the sum of the rows of two or three tables."""
    parts.require_only(("epsilon", "mask_index_type"), 9, 3)
    mask = parts.output(1)
    if parts.input(7) or parts.scope.consumers.get(mask) or mask in parts.scope.outputs:
        raise Unclear("its mask is wanted")
    rows = parts.add("Gather", [parts.input(2), parts.input(0)])
    positions = parts.input(8)
    if not positions:
        zero, one = parts.ints(0), parts.ints(1)
        length = parts.add("Shape", [parts.input(0)], start=1, end=2)
        last = parts.add("Squeeze", [length, zero])
        first, step = (parts.add("Squeeze", [value, zero]) for value in (zero, one))
        positions = parts.add("Range", [first, last, step])
    placed = parts.add("Gather", [parts.input(3), positions])
    segments = parts.input(4)
    wanted = parts.output(2)
    value = parts.add("Add", [rows, placed], "" if segments else wanted)
    if segments:
        value = parts.add("Add", [value, parts.add("Gather", [segments, parts.input(1)])], wanted)
    parts.add(
        "LayerNormalization",
        [value, parts.input(5), parts.input(6)],
        parts.output(0),
        parts.node.name,
        axis=-1,
        epsilon=parts.attributes.get("epsilon", _EPSILON),
    )
