"""The float graph of a file, with a choice for each layer as the file has it.

A file with a plan names its layers as the float graph does. One of another program need not: a
layer of it is the float layer of the same name, or the one whose weight it is nearest to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.codecs.catalogue import FLOAT32, INT8, CodecChoice
from quantkit.errors import InputError
from quantkit.explanation.stored_factors import condition_as_stored
from quantkit.explanation.stored_numbers import StoredNumbers, float_bias, stored_numbers
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import LayerWeight, layer_weights
from quantkit.graph.plan import Plan
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import FLOAT_LAYER, LayerChoice, row_of
from quantkit.quantization.kernels.eligibility import reason_to_stay_plain
from quantkit.quantization.kernels.static import activated
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import AssignedModel, PreparedModel
from quantkit.quantization.stored import StoredFile, StoredForm

# What other programs put behind the name of a node that they replace.
_SUFFIXES = ("_quant", "_Q2", "_Q4", "_Q8", "_MatMul_quant", "_MatMul_Q4")
# Cosine of two weights from which one is the other on a grid: of 1 bit it is 0.8 for a normal
# distribution, and of two different layers hardly ever above 0.1.
_ALIKE = 0.5


def as_planned(
    whole: PreparedModel, plan: Plan, stored: StoredFile
) -> tuple[AssignedModel, StoredNumbers]:
    """The float graph of a file that carries its ``plan``, with the numbers of the file.

    Parts of split layers, and layers with fewer channels, have no float form but the file's own:
    their weights are those of the file, on no grid.
    """
    prepared = whole
    if plan.structure:
        prepared = whole.structured(plan.structure)
        prepared = prepared.filled(_made_anew(whole, prepared, plan, stored))
    assigned = prepare(prepared, plan)
    condition_as_stored(assigned, stored)
    return assigned, stored_numbers(assigned, stored.forms)


def as_read(
    prepared: PreparedModel, stored: StoredFile
) -> tuple[AssignedModel, StoredNumbers] | None:
    """The float graph of a file that says nothing; None where no layer of it is quantized."""
    model = prepared.graph()
    layers = prepared.layers_of(model)
    editor = GraphEditor(model)
    placed = layer_weights(editor)
    forms = matched({layer.name: placed[layer.name] for layer in layers}, stored.forms)
    choices = {layer.name: _choice(placed[layer.name], forms.get(layer.name)) for layer in layers}
    if all(choice.is_plain_float for choice in choices.values()):
        return None
    sizes = {name: form.bytes for name, form in forms.items()}
    rows = tuple(
        replace(row_of(layer, choices[layer.name]), bytes=sizes.get(layer.name, 0))
        for layer in layers
    )
    plan = Plan(rows, prepared.sha256, "as in the file")
    assigned = AssignedModel(prepared, model, layers, choices, plan, PtqSettings())
    # Of 16 bits, a grid does nothing that would show.
    results = {
        name: activated(editor, placed[name].node)
        for name, form in forms.items()
        if choices[name].compute == "static"
        and form.output_grid is not None
        and form.output_grid.bits == 8
    }
    return assigned, stored_numbers(assigned, forms, results)


def matched(
    layers: Mapping[str, LayerWeight], forms: Mapping[str, StoredForm]
) -> dict[str, StoredForm]:
    """The forms of a file by the names of the float layers that they are of."""
    left = dict(forms)
    found: dict[str, StoredForm] = {}
    for form in forms.values():
        for name in _names(form.name):
            if name in layers and name not in found and form.weight_for(layers[name]) is not None:
                found[name] = left.pop(form.name)
                break
    pairs = sorted(
        (
            (_cosine(layer, form), name, form.name)
            for name, layer in layers.items()
            if name not in found
            for form in left.values()
        ),
        key=lambda each: -each[0],
    )
    for likeness, name, form_name in pairs:
        if likeness >= _ALIKE and name not in found and form_name in left:
            found[name] = left.pop(form_name)
    return found


def _names(name: str) -> Iterator[str]:
    yield name
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            yield name.removesuffix(suffix)


def _cosine(layer: LayerWeight, form: StoredForm) -> float:
    """Of the weights; 0 where one cannot be the other."""
    stored, own = form.weight_for(layer), layer.array()
    if stored is None or own is None:
        return 0.0
    one, other = stored.reshape(-1).astype(np.float64), own.reshape(-1).astype(np.float64)
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length > 0.0 else 0.0


def _choice(layer: LayerWeight, form: StoredForm | None) -> LayerChoice:
    if form is None or reason_to_stay_plain(layer):
        return FLOAT_LAYER
    if form.compute == "matmul-nbits":
        return LayerChoice("matmul-nbits", _codec("blocks", form.bits))
    codec = INT8 if form.bits == 8 else _codec("native", form.bits)
    if form.compute == "dynamic" or (form.compute == "static" and layer.editor.parent is not None):
        return LayerChoice("dynamic", codec, range="dynamic per-batch")
    if form.compute == "static" and form.bits <= 16:
        bits = 8 if form.input_grid is None else form.input_grid.bits
        return LayerChoice("static", codec, bits, "min-max")
    weight, own = form.weight_for(layer), layer.array()
    if weight is None or own is None or np.array_equal(weight, own):
        return FLOAT_LAYER
    return LayerChoice("float32", codec)


def _codec(name: str, bits: int) -> CodecChoice:
    """The one that comes nearest to how a file of another program stores a weight."""
    if bits == 32:
        # A weight that was changed, or is rebuilt from what is no tensor of integers.
        return CodecChoice("float16", 16)
    if bits == 16:
        return CodecChoice("float16" if name == "native" else "int16", 16)
    try:
        return CodecChoice(name, bits)
    except InputError:
        return INT8 if name == "native" else FLOAT32


def _made_anew(
    whole: PreparedModel, prepared: PreparedModel, plan: Plan, stored: StoredFile
) -> dict[str, FloatArray]:
    """What the file has of initializers that are not those of the whole float graph."""
    before = {tensor.name: tuple(tensor.dims) for tensor in whole.graph().graph.initializer}
    model = prepared.graph()
    placed = layer_weights(GraphEditor(model))
    found: dict[str, FloatArray] = {}
    for tensor in model.graph.initializer:
        shape = tuple(tensor.dims)
        if before.get(tensor.name) == shape:
            continue
        values = stored.constant(tensor.name, shape)
        if values is not None:
            found[tensor.name] = values
    for layer in prepared.layers_of(model):
        weight, form = placed[layer.name], stored.forms.get(layer.name)
        anew = layer.name in plan.structure or before.get(weight.value) != layer.shape
        values = None if form is None or not anew else form.weight_for(weight)
        if form is None or values is None:
            continue
        found[weight.value] = values
        bias = float_bias(weight)
        if bias is not None and form.bias is not None and form.bias.size >= bias[1].size:
            found[bias[0]] = form.bias[: bias[1].size].reshape(bias[1].shape)
    return found
