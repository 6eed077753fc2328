"""Make a bundle: a folder that an edge team can use without quantkit."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import onnx

from quantkit.audio.frontends import AnyFrontend
from quantkit.benchmarking.schema import BenchReport, ModelResult, read_report
from quantkit.bundles.card import CardFacts, one_line, write_card
from quantkit.bundles.example import example_source
from quantkit.bundles.example_files import write_examples
from quantkit.bundles.example_runs import require_clip, run_examples
from quantkit.bundles.licences import licence_text, read_text
from quantkit.bundles.manifest import (
    CARD,
    DECODING,
    EXAMPLE,
    FRONTEND,
    KEPT,
    LABELS,
    LICENCE,
    MANIFEST,
    MODEL,
    SBOM,
    SIGNATURE,
    Manifest,
    describe,
    read_manifest,
    write_manifest,
)
from quantkit.bundles.sbom import BillFacts, bill_of_materials
from quantkit.bundles.signing import Signer
from quantkit.bundles.trial import run_once
from quantkit.disk.files import sha256_of, write_text
from quantkit.disk.replacing import replaced_folder
from quantkit.errors import BundleError, FormatError, OutputError
from quantkit.exporting.frontend_graph import can_fuse, fuse_frontend
from quantkit.exporting.wrapping import wrap_again
from quantkit.graph.artifact import (
    EXTERNAL_DATA_THRESHOLD,
    graph_roles,
    load_model,
    model_files,
    read_info,
    save_model,
    total_size,
)
from quantkit.graph.info import ArtifactInfo, checked_plan, info_of, set_info
from quantkit.graph.interface import interface_in
from quantkit.graph.provenance import provenance_of
from quantkit.graph.translation import TRANSLATIONS, translations_in
from quantkit.runtime.hosts import hosts_of
from quantkit.runtime.load_memory import load_memory
from quantkit.tasks.catalogue import task_of


def ship(
    model: Path,
    destination: Path,
    *,
    bench: Path | None = None,
    licence: Path | str | None = None,
    about: Path | None = None,
    name: str = "",
    pythons: Sequence[str] = (),
    force: bool = False,
    sign: Path | None = None,
    clip: Path | None = None,
    node_modules: Path | None = None,
    onnxruntime: Path | None = None,
    external_threshold: int = EXTERNAL_DATA_THRESHOLD,
) -> Manifest:
    """Write a bundle: model, labels, front end, licence, card, examples and manifest.

    The front end is fused into a model that takes features, so that its input is a waveform. The
    finished model is run once in this Python, and in each of ``pythons``, before anything appears
    at ``destination``.

    ::

        ship(Path("int8.onnx"), Path("bundle"), bench=Path("report/bench.json"))

    Args:
        model: an artifact of ``quantkit export`` or ``quantkit quantize``.
        bench: a ``bench.json`` with figures of exactly this file, for the card.
        licence: file that becomes ``LICENCE``, or the name of the licence in the metadata; see
            :func:`~quantkit.bundles.licences.licence_text`.
        about: the recogniser's own card (Markdown), added to the bundle's.
        name: display name; else the name in the metadata with that of the file, such as
            ``wav2letter-en int8``.
        pythons: further interpreters with ``onnxruntime`` and ``numpy`` to run the model in.
        force: replace an earlier bundle at ``destination``; nothing else is ever replaced.
        sign: private key that signs all files; see :class:`~quantkit.bundles.signing.Signer`.
        clip: a WAV file of 16 bits on which the examples are run and measured, for the card; None:
            they are run on noise, and not measured.
        node_modules: where npm installed ``onnxruntime-node`` and ``onnxruntime-web``; None: the
            folders in ``NODE_PATH``.
        onnxruntime: ONNX Runtime for C++, a folder with ``include`` and ``lib``, such as a
            release archive unpacked.
        external_threshold: bytes above which the weights of a rewritten model are stored as
            external data.

    Raises:
        ModelError: the model is not an artifact, lacks labels or a front end, or does not run.
        FormatError: ``bench`` has no figures of this file.
        InputError: no licence is known, the one beside the model is another than that of the
            metadata, a text or ``clip`` cannot be read, or ``sign`` is no key that can sign.
        MissingDependencyError: ``sign`` is given, and ``model-signing`` is not installed.
        OutputError: ``destination`` exists and may not be replaced, or cannot be written.
    """
    signer = None if sign is None else Signer(sign)
    info = read_info(model)
    checked_plan(info, str(model))
    task = task_of(info)
    labels, frontend = task.bundle_contents(info, model)
    decoding = task.decoding_in_bundle(info)
    measured = _measured(model, bench) if bench is not None else None
    text_of_licence = licence_text(model, info.licence, str(licence or ""))
    about_text = read_text(about) if about is not None else ""
    if clip is not None:
        require_clip(clip, frontend.sample_rate)
    require_replaceable(destination, force)
    with replaced_folder(
        destination, check=lambda: require_replaceable(destination, force)
    ) as folder:
        opsets = _write_model(model, info, frontend, folder / MODEL, external_threshold)
        write_text(folder / LABELS, _pretty(labels.to_json()))
        settings = json.loads(frontend.to_json())
        fused = json.dumps({**settings, "fused": _fused(info, frontend)})
        write_text(folder / FRONTEND, _pretty(fused))
        if decoding is not None:
            graphs = json.dumps({**decoding, "graphs": _graphs(folder / MODEL)})
            write_text(folder / DECODING, _pretty(graphs))
        write_text(folder / LICENCE, text_of_licence)
        kind = "" if decoding is None else str(decoding["kind"])
        source = example_source(load_memory(folder / MODEL), labels, kind, settings["kind"])
        write_text(folder / EXAMPLE, source)
        title = name or " ".join(filter(None, (info.name, model.stem)))
        write_examples(folder, one_line(title), kind, labels, frontend.sample_rate)
        runtimes = tuple(run_once(folder, python) for python in (sys.executable, *pythons))
        examples = run_examples(
            folder,
            frontend.sample_rate,
            python={name: str(runtimes[0][name]) for name in ("onnxruntime", "numpy")},
            clip=clip,
            node_modules=node_modules,
            onnxruntime=onnxruntime,
        )
        hosts = hosts_of(folder / MODEL)
        facts = CardFacts(
            name=title,
            info=info,
            labels=labels,
            frontend=frontend,
            size_bytes=total_size(folder / MODEL),
            opset=opsets.pop(""),
            foreign_domains=tuple(sorted(opsets)),
            frontend_added=_adds(info, frontend),
            runtimes=runtimes,
            measured=measured,
            files=tuple(file.name for file in model_files(folder / MODEL)),
            kind=kind,
            about=about_text,
            hosts=hosts,
            examples=examples,
        )
        write_text(folder / CARD, write_card(facts))
        written = (*model_files(folder / MODEL), *sorted(folder.glob("*.onnx.data")))
        bill = BillFacts(one_line(title), info, text_of_licence, written, runtimes, measured)
        write_text(folder / SBOM, bill_of_materials(bill))
        manifest = Manifest(
            name=one_line(title),
            model_sha256=sha256_of(model),
            frontend_added=_adds(info, frontend),
            tested_on=tuple(map(told, runtimes)),
            files=describe(folder),
            hosts=hosts,
            provenance=provenance_in(info, str(model)),
            examples=tuple(run.to_manifest() for run in examples.runs),
        )
        write_manifest(manifest, folder)
        if signer is not None:
            signer.sign(folder, manifest.name)
    return manifest


def _write_model(
    model: Path, info: ArtifactInfo, frontend: AnyFrontend, target: Path, external_threshold: int
) -> dict[str, int]:
    """Write the model that takes waveforms; returns the operator sets it uses, ONNX's as ``""``."""
    interface, translations = interface_in(info.extra), translations_in(info.extra)
    kept = any(each is not None and each.kept for each in (interface, translations))
    if info.fused and not kept and total_size(model) == model.stat().st_size:
        shutil.copyfile(model, target)
        content = onnx.load(str(model), load_external_data=False)
    else:
        content = load_model(model, check=False)
        # Edge programs run all bundles alike.
        wrap_again(content)
        if translations is not None:
            # What the graphs of a published folder took says nothing any more.
            extra = {key: value for key, value in info.extra.items() if key != TRANSLATIONS}
            set_info(content, replace(info_of(content), extra=extra))
        if _adds(info, frontend):
            content = fuse_frontend(content, frontend)
        save_model(content, target, external_threshold=external_threshold)
    used = {"" if node.domain == "ai.onnx" else node.domain for node in content.graph.node} | {""}
    opsets = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in content.opset_import}
    return {domain: int(opsets.get(domain, 0)) for domain in used}


def _adds(info: ArtifactInfo, frontend: AnyFrontend) -> bool:
    """Whether the front end becomes a part of the model."""
    return not info.fused and task_of(info).fuses_frontend and can_fuse(frontend)


def _fused(info: ArtifactInfo, frontend: AnyFrontend) -> bool:
    """Whether the model takes waveforms in the end."""
    return info.fused or _adds(info, frontend)


def _graphs(model: Path) -> list[dict[str, Any]]:
    """Role, file and states of each graph."""
    files = model_files(model)
    return [
        {
            "role": role.role,
            "file": file.name,
            "states": [{**asdict(state), "shape": list(state.shape)} for state in role.states],
        }
        for role, file in zip(graph_roles(model), files, strict=True)
    ]


# What a run says of the bundle; versions of Python, processors and times differ from run to run.
_TOLD = ("onnxruntime", "numpy", "os", "machine")


def told(runtime: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says of a run of :func:`~quantkit.bundles.trial.run_once`."""
    return {name: runtime[name] for name in _TOLD}


def provenance_in(info: ArtifactInfo, origin: str) -> dict[str, Any]:
    """What the model was made from, as far as its metadata say it."""
    provenance = provenance_of(info, origin)
    plan = "" if info.plan is None else hashlib.sha256(_canonical(info.plan)).hexdigest()
    content: dict[str, Any] = {"model_sha256": info.model_sha256, "plan_sha256": plan}
    content |= {} if provenance is None else provenance.to_dict()
    versions = {"quantkit": info.version} | dict(content.get("versions", {}))
    content["versions"] = {name: found for name, found in versions.items() if found}
    return {key: value for key, value in content.items() if value}


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, ensure_ascii=False).encode()


def _measured(model: Path, bench: Path) -> tuple[BenchReport, ModelResult]:
    report = read_report(bench)
    digest = sha256_of(model)
    for result in report.models:
        if result.sha256 == digest:
            return report, result
    same_name = next((r for r in report.models if r.name == model.stem), None)
    names = ", ".join(result.name for result in report.models)
    reason = "measured another version of it" if same_name else f"measured only {names}"
    raise FormatError(f"{bench} has no figures of {model}: it {reason}; run `quantkit bench` on it")


def _pretty(text: str) -> str:
    return json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


def require_replaceable(destination: Path, force: bool) -> None:
    """Only an absent path, an empty folder, or with ``force`` an unmixed bundle.

    Raises:
        OutputError: it is something else.
    """
    if not destination.exists() and not destination.is_symlink():
        return
    if destination.is_symlink() or not destination.is_dir():
        raise OutputError(f"{destination} exists and is not a folder; choose another name")
    present = [path for path in destination.rglob("*") if not path.is_dir()]
    if not present:
        return
    try:
        earlier = read_manifest(destination)
    except BundleError:
        raise OutputError(
            f"{destination} exists and is not a bundle; choose another name"
        ) from None
    if not force:
        raise OutputError(f"{destination} contains an earlier bundle; replace it with --force")
    listed = {MANIFEST, SIGNATURE, *(entry.path for entry in earlier.files)}
    for path in present:
        name = path.relative_to(destination).as_posix()
        if name not in listed and not name.startswith(KEPT):
            raise OutputError(
                f"{destination} contains {name}, which is not part of the bundle there; "
                "move it away first"
            )
