"""What an artifact says about itself in its metadata: labels, front end, plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from quantkit.audio.frontends import AnyFrontend, frontend_from_json
from quantkit.errors import FormatError, ModelError
from quantkit.graph.integrity import CHECKSUM_KEY
from quantkit.graph.joined import graph_entries
from quantkit.graph.layers import find_layers
from quantkit.graph.plan import PLAN_SCHEMA, Plan
from quantkit.graph.roles import DECODER_KEY, GRAPHS_KEY
from quantkit.json_fields import flag_of, parse_json
from quantkit.text.labels import Labels
from quantkit.text.vocabularies import AnyVocabulary, vocabulary_from_json

_PREFIX = "quantkit."
# What has a field of its own, or is not the task's to say.
_FIELDS = ("task", "model_sha256", "version", "name", "licence", "labels", "vocabulary", "frontend")
_OWN_KEYS = frozenset(
    (
        *(_PREFIX + name for name in (*_FIELDS, "plan", "opset")),
        GRAPHS_KEY,
        DECODER_KEY,
        CHECKSUM_KEY,
    )
)


@dataclass(frozen=True)
class ArtifactInfo:
    """What an ``.onnx`` says about itself; every field of a foreign model is empty.

    Args:
        labels: the output alphabet of a CTC model.
        frontend: settings of the waveform → features step.
        fused: whether that step is part of the graph, so that the model takes waveforms.
        task: what it is for: the name of one of :func:`quantkit.tasks.catalogue.task_names`.
        plan: the quantization plan that made the file, as parsed JSON (``quantkit.plan/1``).
        model_sha256: SHA-256 of the source: the checkpoint of a float model, the float
            ``.onnx`` of a quantized one.
        version: the quantkit version that wrote the file.
        name: the model's name for people, such as ``wav2letter-en``.
        licence: licence of the weights.
        classes: classes of a classifier, in output order.
        vocabulary: the tokens of a model whose tokens are no labels.
        extra: entries ``quantkit.<name>`` that a task has beside these, by name; none is empty.
    """

    labels: Labels | None = None
    frontend: AnyFrontend | None = None
    fused: bool = False
    task: str = ""
    plan: dict[str, Any] | None = None
    model_sha256: str = ""
    version: str = ""
    name: str = ""
    licence: str = ""
    classes: tuple[str, ...] = ()
    vocabulary: AnyVocabulary | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


def info_of(model: onnx.ModelProto, origin: str = "the model") -> ArtifactInfo:
    """Metadata of a model in memory; ``origin`` names it in error messages.

    Raises:
        ModelError: a ``quantkit.*`` entry is damaged, or the plan is another model's.
    """
    entries = {entry.key: entry.value for entry in model.metadata_props}
    labels_json = entries.get("quantkit.labels", "")
    vocabulary_json = entries.get("quantkit.vocabulary")
    frontend_json = entries.get("quantkit.frontend")
    plan_json = entries.get("quantkit.plan")
    try:
        plan = parse_json(plan_json, "the plan", finite=False) if plan_json else None
        if plan is not None and not isinstance(plan, dict):
            raise FormatError("the plan is not a JSON object")
        classes = _classes(labels_json)
        info = ArtifactInfo(
            labels=Labels.from_json(labels_json) if labels_json and not classes else None,
            classes=classes,
            vocabulary=vocabulary_from_json(vocabulary_json) if vocabulary_json else None,
            frontend=frontend_from_json(frontend_json) if frontend_json else None,
            fused=_is_fused(frontend_json),
            task=entries.get("quantkit.task", ""),
            plan=plan,
            model_sha256=entries.get("quantkit.model_sha256", ""),
            version=entries.get("quantkit.version", ""),
            name=entries.get("quantkit.name", ""),
            licence=entries.get("quantkit.licence", ""),
            extra={
                key.removeprefix(_PREFIX): value
                for key, value in entries.items()
                if key.startswith(_PREFIX) and key not in _OWN_KEYS
            },
        )
    except (ValueError, FormatError) as error:
        raise ModelError(f"{origin}: its quantkit metadata is damaged: {error}") from error
    if plan is not None:
        _require_own_plan(plan, model, origin)
    return info


def checked_plan(info: ArtifactInfo, origin: str = "the model") -> Plan | None:
    """The plan in the metadata with every field checked, or None without one.

    To run a model takes no plan, so :func:`info_of` looks only at whose it is.

    Raises:
        ModelError: a field is missing, unknown, or of the wrong type.
    """
    if info.plan is None:
        return None
    try:
        return Plan.from_json(info.plan)
    except FormatError as error:
        raise ModelError(
            f"{origin}: its quantkit metadata is damaged: {error}; make the model again"
        ) from error


def set_info(model: onnx.ModelProto, info: ArtifactInfo) -> None:
    """Replace the ``quantkit.*`` metadata of ``model``; entries of other tools are kept.

    >>> model = onnx.ModelProto()
    >>> set_info(model, ArtifactInfo(task="ctc", version="1.0"))
    >>> info_of(model).task
    'ctc'
    """
    entries: dict[str, str] = {
        "quantkit.task": info.task,
        "quantkit.model_sha256": info.model_sha256,
        "quantkit.version": info.version,
        "quantkit.name": info.name,
        "quantkit.licence": info.licence,
    }
    if info.labels is not None:
        entries["quantkit.labels"] = info.labels.to_json()
    elif info.classes:
        entries["quantkit.labels"] = json.dumps({"classes": info.classes}, ensure_ascii=False)
    if info.vocabulary is not None:
        entries["quantkit.vocabulary"] = info.vocabulary.to_json()
    entries |= {_PREFIX + name: value for name, value in info.extra.items()}
    entries |= graph_entries(model)
    if info.frontend is not None:
        settings = json.loads(info.frontend.to_json())
        entries["quantkit.frontend"] = json.dumps({**settings, "fused": info.fused})
    if info.plan is not None:
        entries["quantkit.plan"] = json.dumps(info.plan, ensure_ascii=False)
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx"):
            entries["quantkit.opset"] = str(opset.version)
    foreign = [e for e in model.metadata_props if not e.key.startswith("quantkit.")]
    kept = [(entry.key, entry.value) for entry in foreign]
    ours = [(key, value) for key, value in sorted(entries.items()) if value]
    del model.metadata_props[:]
    for key, value in kept + ours:
        model.metadata_props.add(key=key, value=value)


def _require_own_plan(plan: dict[str, Any], model: onnx.ModelProto, origin: str) -> None:
    if (schema := plan.get("schema")) != PLAN_SCHEMA:
        raise ModelError(
            f"{origin}: its plan has schema {schema!r}, and this version of quantkit reads "
            f"{PLAN_SCHEMA!r}: use the version that made it, or make the model again"
        )
    rows = plan.get("layers")
    if not isinstance(rows, list):
        raise ModelError(f"{origin}: its plan has no list of layers; make the model again")
    present = {node.name or node.output[0] for node in model.graph.node if node.output}
    if {str(row.get("name", "")) for row in rows if isinstance(row, dict)} - present:
        # Those in bodies of control flow, and those of which a node has two.
        present |= {layer.name for layer in find_layers(model)}
    for row in rows:
        name = str(row.get("name", "")) if isinstance(row, dict) else ""
        # A quantizer may put several nodes in a layer's place, each called after it.
        if not name or not any(node.startswith(name) for node in present):
            raise ModelError(
                f"{origin}: its plan is another model's: it has a layer {name!r}, which the graph "
                "has not; make the model again"
            )


def _is_fused(frontend_json: str | None) -> bool:
    content = parse_json(frontend_json, "the front end") if frontend_json else {}
    fused = content.get("fused") if isinstance(content, dict) else None
    return flag_of(fused, "the front end: fused") if fused is not None else False


def _classes(labels_json: str) -> tuple[str, ...]:
    """The classes of a classifier; none for other labels."""
    content = parse_json(labels_json, "the labels") if labels_json else {}
    classes = content.get("classes", []) if isinstance(content, dict) else []
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise FormatError("the classes are not a list of names")
    return tuple(classes)
