"""Verify a bundle: compare every file with the manifest, then run the model."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantkit.bundles.findings import Finding
from quantkit.bundles.manifest import (
    KEPT,
    LABELS,
    MANIFEST,
    MODEL,
    SIGNATURE,
    Manifest,
    read_manifest,
)
from quantkit.bundles.signing import SignatureCheck
from quantkit.bundles.trial import open_once, run_once
from quantkit.disk.files import sha256_of
from quantkit.disk.replacing import settled
from quantkit.errors import BundleError, ModelError, VerificationError
from quantkit.graph.artifact import read_info, total_size
from quantkit.runtime.hosts import Hosts
from quantkit.text.labels import Labels


@dataclass(frozen=True)
class Verification:
    """Result of a verification.

    Args:
        manifest_sha256: of the manifest itself. Someone who can change a file can change its
            checksum in the manifest too; compare this value with the one that ``ship`` printed to
            rule that out.
        runtime: versions and timing of the run; ``None`` if files differ, because a model that was
            tampered with is not run.
        hosts: on which processors the model's integer sums are exact; ``None`` where the manifest
            does not say it, as in bundles of before.
        signature: ``verified``; ``unchecked`` without a public key; empty without a signature.
    """

    files: int
    findings: tuple[Finding, ...]
    manifest_sha256: str
    runtime: dict[str, Any] | None
    hosts: Hosts | None = None
    signature: str = ""

    def require(self, bundle: Path) -> None:
        """Raise if there are findings.

        Raises:
            VerificationError: the first findings in one line.
        """
        if self.findings:
            shown = "; ".join(f"{f.path}: {f.detail}" for f in self.findings[:3])
            more = f"; and {len(self.findings) - 3} more" if len(self.findings) > 3 else ""
            raise VerificationError(f"{bundle} is not as it was shipped: {shown}{more}")


def verify(
    bundle: Path, *, manifest_sha256: str | None = None, public_key: Path | None = None
) -> Verification:
    """Compare a bundle with its manifest and its signature, and run its model if they agree.

    Args:
        manifest_sha256: expected SHA-256 of the manifest itself, from a trusted source.
        public_key: of whom the bundle must be signed by; a bundle without a signature is then as
            bad as one with a wrong one.

    Raises:
        BundleError: no folder, no manifest, a malformed one, or one (or a model) that names a
            file outside the bundle.
        InputError: ``public_key`` cannot be read, or is none.
        MissingDependencyError: there is one, and ``model-signing`` is not installed.
    """
    check = None if public_key is None else SignatureCheck(public_key)
    # Its replacement may have been cut short.
    if not bundle.is_dir() and not (settled(bundle.absolute().parent) and bundle.is_dir()):
        raise BundleError(f"{bundle} is neither an .onnx nor the folder that `quantkit ship` wrote")
    manifest = read_manifest(bundle)
    digest = sha256_of(bundle / MANIFEST)
    findings = compare(bundle, manifest, None)
    if manifest_sha256 is not None and manifest_sha256.strip().lower() != digest:
        findings.insert(0, Finding("changed", MANIFEST, f"has SHA-256 {digest}"))
    if not findings and check is not None:
        findings = check.findings(bundle)
    signature = "" if not (bundle / SIGNATURE).exists() else "unchecked"
    if check is not None and not findings:
        signature = "verified"
    runtime = None
    if not findings:
        findings, runtime = (_open_graphs if manifest.profile else _check_model)(bundle)
    return Verification(
        len(manifest.files), tuple(findings), digest, runtime, manifest.hosts, signature
    )


def compare(bundle: Path, manifest: Manifest, check: SignatureCheck | None) -> list[Finding]:
    """How the files of ``bundle`` differ from its manifest, or else from its signature.

    Nothing of it is run, and of its model nothing is read but the bytes.

    Raises:
        BundleError: it names a file outside the bundle.
    """
    _refuse_escaping_links(bundle, manifest)
    findings = _compare_files(bundle, manifest)
    # Only in a folder of regular files can all be read without waiting for somebody.
    return findings if findings or check is None else check.findings(bundle)


def _refuse_escaping_links(bundle: Path, manifest: Manifest) -> None:
    root = bundle.resolve()
    for entry in manifest.files:
        try:
            target = (bundle / entry.path).resolve()
        except (OSError, RuntimeError) as error:  # a loop of links
            raise BundleError(f"{bundle}: {entry.path!r} cannot be resolved: {error}") from error
        if not target.is_relative_to(root):
            raise BundleError(f"{bundle}: {entry.path!r} is a link that leaves the bundle")


def _compare_files(bundle: Path, manifest: Manifest) -> list[Finding]:
    findings = []
    expected = {entry.path: entry for entry in manifest.files}
    present, linked = _walk(bundle)
    for path, entry in expected.items():
        if any(path == link or path.startswith(f"{link}/") for link in linked):
            continue
        if path not in present:
            findings.append(Finding("missing", path, "is missing"))
            continue
        mode, size = present[path]
        if not stat.S_ISREG(mode):
            findings.append(Finding("special", path, "is not a regular file"))
        elif size != entry.size:
            findings.append(Finding("size", path, f"has {size} bytes instead of {entry.size}"))
        else:
            findings += _compare_content(bundle / path, path, entry.sha256)
    folders = {parent.as_posix() for path in expected for parent in Path(path).parents}
    for path, (mode, _) in present.items():
        if path not in expected and path != MANIFEST and not path.startswith(KEPT):
            if stat.S_ISDIR(mode) and path in folders:
                continue
            if path == SIGNATURE:
                if not stat.S_ISREG(mode):
                    findings.append(Finding("special", path, "is not a regular file"))
                continue
            findings.append(Finding("extra", path, "is not in the manifest"))
    findings += [
        Finding("symlink", path, "is a symbolic link; a bundle contains regular files only")
        for path in linked
    ]
    return sorted(findings, key=lambda finding: finding.path)


def _compare_content(file: Path, path: str, sha256: str) -> list[Finding]:
    try:
        same = sha256_of(file) == sha256
    except OSError as error:
        return [Finding("unreadable", path, f"cannot be read: {error.strerror or error}")]
    return [] if same else [Finding("changed", path, "differs from what was shipped")]


def _walk(bundle: Path) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """Mode and size of everything below ``bundle``, and a separate list of symbolic links."""
    present: dict[str, tuple[int, int]] = {}
    linked: list[str] = []

    def refuse(error: OSError) -> None:
        raise BundleError(f"cannot list {error.filename}: {error.strerror}") from error

    for folder, folders, files in os.walk(bundle, onerror=refuse):
        for name in (*folders, *files):
            full = Path(folder, name)
            path = full.relative_to(bundle).as_posix()
            status = full.lstat()
            if stat.S_ISLNK(status.st_mode):
                linked.append(path)
            else:
                present[path] = (status.st_mode, status.st_size)
    return present, linked


def _open_graphs(bundle: Path) -> tuple[list[Finding], dict[str, Any] | None]:
    """Of a folder for another program, which alone runs them."""
    graphs = sorted(bundle.rglob("*.onnx"))
    try:
        for graph in graphs:
            total_size(graph)  # refuses external data outside the folder
    except ModelError as error:
        raise BundleError(str(error)) from error
    try:
        return [], open_once(graphs)
    except ModelError as error:
        return [Finding("model", graphs[0].relative_to(bundle).as_posix(), str(error))], None


def _check_model(bundle: Path) -> tuple[list[Finding], dict[str, Any] | None]:
    model = bundle / MODEL
    try:
        total_size(model)  # also refuses external data outside the model's folder
        info = read_info(model, check=False)  # its content was compared with the manifest
    except ModelError as error:
        raise BundleError(str(error)) from error
    try:
        labels = Labels.from_json((bundle / LABELS).read_bytes())
    except (ValueError, OSError) as error:
        raise BundleError(f"{bundle / LABELS}: {error}") from error
    carried = Labels.of_classes(info.classes) if info.classes else info.labels
    if carried is not None and carried != labels:
        return [Finding("model", LABELS, "differs from the labels in the model")], None
    try:
        return [], run_once(bundle)
    except ModelError as error:
        return [Finding("model", MODEL, str(error))], None
