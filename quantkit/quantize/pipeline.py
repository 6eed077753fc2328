"""A float32 ``.onnx`` becomes a quantized one: every step in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

import quantkit
from quantkit.audio.utterance import Corpus
from quantkit.errors import InputError, ModelError
from quantkit.files import sha256_of
from quantkit.graph.artifact import (
    info_of,
    load_model,
    save_checked_model,
    set_info,
    total_size,
)
from quantkit.graph.layers import Layer, find_layers
from quantkit.graph.plan import Compute, LayerPlan, plan_json
from quantkit.quantize.calibrate import Feed, calibrate, corpus_feeds
from quantkit.quantize.cleanup import clean_up
from quantkit.quantize.dynamic import quantize_dynamic_layers
from quantkit.quantize.editor import GraphEditor, name_all_nodes
from quantkit.quantize.eligibility import reason_to_stay_float
from quantkit.quantize.presets import resolve
from quantkit.quantize.settings import QuantizeSettings
from quantkit.quantize.static import StaticLayout, lay_out, quantize_static_layers
from quantkit.quantize.storage import stored_layers
from quantkit.runtime.lint import LintReport, lint_model

# DynamicQuantizeLinear and per-channel QuantizeLinear are both there from opset 13 on.
_LOWEST_OPSET = 13

_QUANTIZED = frozenset(
    {"DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "QLinearConv"}
)

Calibration = Corpus | Iterable[Feed]


@dataclass(frozen=True)
class QuantizeResult:
    """What :func:`quantize_model` wrote.

    Args:
        path: the new artifact.
        settings: what was asked for.
        layers: what each layer became; ``note`` says why one is not what was asked for.
        size_bytes: of the artifact with its external files.
        source_bytes: the same of the float32 model.
        lint: which kernels ONNX Runtime really runs.
        skipped: calibration clips that were left out, and why.
    """

    path: Path
    settings: QuantizeSettings
    layers: tuple[LayerPlan, ...]
    size_bytes: int
    source_bytes: int
    lint: LintReport
    skipped: tuple[str, ...] = ()


def quantize_model(
    source: Path,
    destination: Path,
    settings: str | QuantizeSettings,
    calibration: Calibration | None = None,
    *,
    progress: Callable[[str], None] | None = None,
) -> QuantizeResult:
    """Quantize the float32 model ``source`` and write it to ``destination``.

    ::

        quantize_model(Path("float32.onnx"), Path("int8.onnx"), "static-int8", corpus)

    Args:
        settings: a preset's name, or settings of one's own.
        calibration: unlabelled clips; needed when a layer is static, else not looked at.
        progress: is called with the name of each calibration clip that is done.

    Raises:
        ModelError: ``source`` is damaged, already quantized, or has nothing to quantize.
        InputError: unknown preset, an exclusion that matches nothing, or no calibration clips
            where a layer needs them.
        CorpusError: none of the calibration clips is usable.
        OutputError: ``destination`` cannot be written.
    """
    settings = resolve(settings)
    model = load_model(source)
    layers = _float_layers(model, source)
    asked = settings.assign(layers)
    in_place = _same_file(source, destination)
    if in_place and set(asked.values()) != {"float32"}:
        raise InputError(
            f"{destination} is the float32 model itself; write the result to another file"
        )
    computes, notes = _possible(model, asked)
    wanted = _names(computes, "static")
    skipped: list[str] = []
    source_bytes = total_size(source)
    info = info_of(model, str(source))
    if wanted:
        layout = lay_out(model, wanted)
        feeds = _feeds(calibration, source, model, skipped, settings)
        model = _static(model, layout, feeds, settings, progress)
    codecs = quantize_dynamic_layers(model, _names(computes, "dynamic"), settings.dynamic_range)
    codecs |= dict.fromkeys(wanted, "int8")
    changed = bool(codecs)
    if changed:
        clean_up(model)
    rows = _plan(model, layers, computes, codecs, notes, settings)
    digest = sha256_of(source)
    if changed or info.plan is None:
        plan = plan_json(rows, model_sha256=digest, method=settings.name)
        set_info(
            model,
            replace(info, plan=plan, model_sha256=digest, version=quantkit.__version__),
        )
    lint = lint_model(source) if in_place else save_checked_model(model, destination, lint_model)
    return QuantizeResult(
        path=destination,
        settings=settings,
        layers=rows,
        size_bytes=total_size(destination),
        source_bytes=source_bytes,
        lint=lint,
        skipped=tuple(skipped),
    )


def _float_layers(model: onnx.ModelProto, source: Path) -> list[Layer]:
    found = sorted({node.op_type for node in model.graph.node} & _QUANTIZED)
    if found:
        raise ModelError(
            f"{source} is quantized already (it has {', '.join(found)}); give the float32 model"
        )
    editor = GraphEditor(model)
    if editor.opset < _LOWEST_OPSET:
        raise ModelError(
            f"{source} has opset {editor.opset}; quantizing needs {_LOWEST_OPSET} or later: "
            "export it anew"
        )
    name_all_nodes(model)
    layers = find_layers(model)
    if not layers:
        raise ModelError(f"{source} has no Conv, MatMul, Gemm or Gather with a constant weight")
    return layers


def _possible(
    model: onnx.ModelProto, asked: dict[str, Compute]
) -> tuple[dict[str, Compute], dict[str, str]]:
    """What each layer can be, and why where it is not what was asked for."""
    editor = GraphEditor(model)
    nodes = {node.name: node for node in editor.nodes}
    notes = {
        name: reason_to_stay_float(editor, nodes[name], compute) for name, compute in asked.items()
    }
    notes = {name: note for name, note in notes.items() if note}
    computes: dict[str, Compute] = {
        name: "float32" if name in notes else compute for name, compute in asked.items()
    }
    return computes, notes


def _names(computes: dict[str, Compute], compute: Compute) -> list[str]:
    return [name for name, value in computes.items() if value == compute]


def _feeds(
    calibration: Calibration | None,
    source: Path,
    model: onnx.ModelProto,
    skipped: list[str],
    settings: QuantizeSettings,
) -> Iterable[Feed]:
    if calibration is None:
        raise InputError(
            f"{settings.name} has static layers and needs calibration clips: give a folder of "
            "audio (--audio DIR)"
        )
    if isinstance(calibration, Corpus):
        return corpus_feeds(calibration, info_of(model, str(source)), skipped)
    return calibration


def _static(
    model: onnx.ModelProto,
    layout: StaticLayout,
    feeds: Iterable[Feed],
    settings: QuantizeSettings,
    progress: Callable[[str], None] | None,
) -> onnx.ModelProto:
    ranges = calibrate(
        model,
        layout.tensors(),
        feeds,
        method=settings.range,
        percentile=settings.percentile,
        progress=progress,
    )
    return quantize_static_layers(model, layout, ranges)


def _plan(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    computes: dict[str, Compute],
    codecs: dict[str, str],
    notes: dict[str, str],
    settings: QuantizeSettings,
) -> tuple[LayerPlan, ...]:
    stored = {layer.name: layer.bytes for layer in stored_layers(model)}
    labels = {
        "float32": "none",
        "dynamic": f"dynamic {settings.dynamic_range}",
        "static": settings.range_label,
    }
    return tuple(
        LayerPlan(
            name=layer.name,
            op=layer.op,
            shape=layer.shape,
            codec=codecs.get(layer.name, "float32"),
            bits=8 if layer.name in codecs else 32,
            compute=computes[layer.name],
            activation_bits=8 if layer.name in codecs else 32,
            range=labels[computes[layer.name]],
            bytes=stored.get(layer.name, 0),
            note=notes.get(layer.name, ""),
        )
        for layer in layers
    )


def _same_file(one: Path, other: Path) -> bool:
    return other.exists() and one.resolve() == other.resolve()
