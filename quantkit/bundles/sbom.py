"""``sbom.cdx.json``: what a bundle is made of, as a CycloneDX bill of materials.

Models, data (by digest, where it has one), the libraries that run it, and licences, in version 1.6
of the format (ECMA-424). Neither time nor a random serial number stands in it: the same inputs give
the same bytes.

https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantkit.benchmarking.schema import BenchReport, ModelResult
from quantkit.bundles.licences import licence_in
from quantkit.disk.files import sha256_of
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.provenance import provenance_of
from quantkit.version import __version__

_MODEL, _SOURCE, _AUDIO, _BENCH = "model", "source-model", "calibration-audio", "bench-corpus"
_LICENCES = {"numpy": "BSD-3-Clause", "onnxruntime": "MIT"}
_CREATIVE_COMMONS = re.compile(r"CC-BY(-NC)?(-SA|-ND)?-(1\.0|2\.0|2\.5|3\.0|4\.0)")


@dataclass(frozen=True)
class BillFacts:
    """What a bill of materials is made of.

    Args:
        name: of the model, for people.
        info: of the shipped model.
        licence: the text that the bundle has as its licence.
        files: the graphs of the bundle with their external data.
        runtimes: what :func:`quantkit.bundles.trial.run_once` returned.
        measured: the bench run and this model's result in it, if there was one.
    """

    name: str
    info: ArtifactInfo
    licence: str
    files: tuple[Path, ...]
    runtimes: tuple[Mapping[str, Any], ...]
    measured: tuple[BenchReport, ModelResult] | None


def bill_of_materials(facts: BillFacts) -> str:
    """The bill as JSON text."""
    components = [*_files(facts), *_source(facts), *_data(facts), *_libraries(facts)]
    content = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [{"type": "application", "name": "quantkit", "version": __version__}]
            },
            "component": _model(facts, [each["bom-ref"] for each in components]),
        },
        "components": components,
        "dependencies": [
            {"ref": _MODEL, "dependsOn": [each["bom-ref"] for each in components]},
            *({"ref": each["bom-ref"]} for each in components),
        ],
    }
    # Two bills are called alike only if they are the same.
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    content["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"
    return json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def spdx_licence(text: str, in_metadata: str) -> dict[str, Any]:
    """The licence as CycloneDX has it: an SPDX identifier where it is a usual one, else a name.

    Args:
        text: of the licence.
        in_metadata: the short name in the model's metadata; empty if there is none.
    """
    found = licence_in(text) or licence_in(in_metadata)
    usual = found and found != "OpenRAIL"
    if usual and (not found.startswith("CC-BY") or _CREATIVE_COMMONS.fullmatch(found)):
        return {"license": {"id": found}}
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return {"license": {"name": in_metadata or found or first or "see LICENCE"}}


def _model(facts: BillFacts, made_of: list[str]) -> dict[str, Any]:
    info = facts.info
    card: dict[str, Any] = {"modelParameters": {"task": info.task or "speech recognition"}}
    datasets = [{"ref": ref} for ref in made_of if ref in (_AUDIO, _BENCH)]
    if datasets:
        card["modelParameters"]["datasets"] = datasets
    card["modelParameters"]["inputs"] = [{"format": "audio"}]
    if metrics := list(_metrics(facts)):
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return {
        "bom-ref": _MODEL,
        "type": "machine-learning-model",
        "name": facts.name,
        "hashes": _hashes(sha256_of(facts.files[0])),
        "licenses": [spdx_licence(facts.licence, info.licence)],
        "modelCard": card,
    }


def _metrics(facts: BillFacts) -> Iterator[dict[str, Any]]:
    if facts.measured is None:
        return
    report, model = facts.measured
    figures = (
        ("character error rate", model.cer, model.cer_ci),
        ("word error rate", model.wer, model.wer_ci),
        ("edits per utterance", model.levenshtein, model.levenshtein_ci),
    )
    for title, value, interval in figures:
        if value is None:
            continue
        metric: dict[str, Any] = {"type": title, "value": f"{value:.6g}"}
        if report.corpus.name:
            metric["slice"] = report.corpus.name
        if interval is not None:
            low, high = (f"{end:.6g}" for end in interval)
            metric["confidenceInterval"] = {"lowerBound": low, "upperBound": high}
        yield metric


def _files(facts: BillFacts) -> Iterator[dict[str, Any]]:
    for path in facts.files:
        yield {
            "bom-ref": f"file:{path.name}",
            "type": "file",
            "name": path.name,
            "hashes": _hashes(sha256_of(path)),
        }


def _source(facts: BillFacts) -> Iterator[dict[str, Any]]:
    """The model that this one was made from."""
    if re.fullmatch("[0-9a-f]{64}", facts.info.model_sha256):
        yield {
            "bom-ref": _SOURCE,
            "type": "machine-learning-model",
            "name": facts.info.name or "source model",
            "description": "What the model was made from.",
            "hashes": _hashes(facts.info.model_sha256),
            "licenses": [spdx_licence(facts.info.licence or facts.licence, facts.info.licence)],
        }


def _data(facts: BillFacts) -> Iterator[dict[str, Any]]:
    provenance = provenance_of(facts.info)
    if provenance is not None and provenance.audio_sha256:
        audio = _dataset(_AUDIO, "calibration audio", "Heard while the model was made.")
        sizes = {"clips": str(provenance.clips), "seconds": f"{provenance.seconds:g}"}
        properties = [{"name": f"quantkit:{key}", "value": value} for key, value in sizes.items()]
        yield audio | {"hashes": _hashes(provenance.audio_sha256), "properties": properties}
    if facts.measured is not None:
        name = facts.measured[0].corpus.name or "bench corpus"
        yield _dataset(_BENCH, name, "The figures were measured on it.")


def _dataset(ref: str, name: str, description: str) -> dict[str, Any]:
    kind = [{"type": "dataset", "name": name}]
    return {
        "bom-ref": ref,
        "type": "data",
        "name": name,
        "description": description,
        "data": kind,
    }


def _libraries(facts: BillFacts) -> Iterator[dict[str, Any]]:
    """What ran the model; each version once."""
    for name, licence in sorted(_LICENCES.items()):
        for version in sorted({str(run[name]) for run in facts.runtimes}):
            yield {
                "bom-ref": f"pkg:pypi/{name}@{version}",
                "purl": f"pkg:pypi/{name}@{version}",
                "type": "library",
                "name": name,
                "version": version,
                "licenses": [{"license": {"id": licence}}],
            }


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]
