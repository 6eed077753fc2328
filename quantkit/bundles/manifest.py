"""``manifest.json``: every file of a bundle with its size and SHA-256.

.. code-block:: json

    {"schema": "quantkit.bundle/1", "quantkit": "0.1.0", "name": "wav2letter-en",
     "model_sha256": "… of the .onnx that was shipped", "frontend_added": true,
     "tested_on": [{"onnxruntime": "1.31.1", "numpy": "2.4.6", "os": "Linux", "machine": "…"}],
     "provenance": {"model_sha256": "…", "plan_sha256": "…", "audio_sha256": "…", "clips": 80,
                    "seconds": 241.5, "versions": {"quantkit": "0.1.0", "onnxruntime": "…"}},
     "hosts": {"exact_on": ["vnni", "arm"], "…": "see quantkit.runtime.hosts"},
     "files": [{"path": "model.onnx", "bytes": 23700000, "sha256": "…"}]}

A manifest is untrusted input for :func:`read_manifest`: a path must name a file inside the bundle
on every system, including Windows and macOS.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from quantkit.disk.files import sha256_of, write_json
from quantkit.errors import BundleError, FormatError
from quantkit.json_fields import parse_json
from quantkit.runtime.hosts import Hosts
from quantkit.version import __version__

BUNDLE_SCHEMA = "quantkit.bundle/1"
MANIFEST = "manifest.json"
MODEL = "model.onnx"
LABELS = "labels.json"
FRONTEND = "frontend.json"
#: Of several graphs: which file each is in, and how labels follow from what they give.
DECODING = "decoding.json"
LICENCE = "LICENCE"
CARD = "CARD.md"
EXAMPLE = "example.py"
#: Over all other files, where the bundle is signed; see :mod:`quantkit.bundles.signing`.
SIGNATURE = "model.sig"
#: What names begin with that the example keeps beside the model for its next start. They belong to
#: no bundle, and are not looked at.
KEPT = ".unpacked-"
#: CycloneDX; bundles of before have none.
SBOM = "sbom.cdx.json"
REQUIRED = (MODEL, LABELS, FRONTEND, LICENCE, CARD, EXAMPLE)
#: Of a folder for another program, whose files have the names that it knows.
REQUIRED_OF_PROFILES = (LICENCE, CARD)

# A manifest of a thousand files takes 150 kB; a much larger one is an attack on the parser.
_MAX_MANIFEST_BYTES = 4_000_000
_SHA256 = re.compile("[0-9a-f]{64}")
# Device names open a device on Windows whatever their folder and suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[\\:<>"|?*\x00-\x1f\x7f]')


@dataclass(frozen=True)
class FileEntry:
    """One file: path below the bundle with ``/`` between folders, bytes, hexadecimal SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A bundle's contents.

    Args:
        name: for people.
        model_sha256: of the ``.onnx`` that was shipped.
        frontend_added: whether it got its front end then.
        tested_on: each runtime that ran the model at ship time. Times, and what else differs from
            run to run, are not in it: the same inputs give the same bytes.
        files: all but the manifest.
        hosts: on which processors the model's integer sums are exact; None in bundles of before.
        provenance: digests of what the shipped model was made from, as far as it says so: the model
            (``model_sha256``), its plan (``plan_sha256``) and the audio, with the versions of
            quantkit and of the libraries that made it; empty in bundles of before.
        examples: of each example whether it was run when the bundle was made, and in what, or why
            not; empty in bundles of before.
        profile: the program that the folder is for, see :mod:`quantkit.bundles.profiles`; empty for
            a bundle with examples.
    """

    name: str
    model_sha256: str
    frontend_added: bool
    tested_on: tuple[Mapping[str, Any], ...]
    files: tuple[FileEntry, ...]
    hosts: Hosts | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[Mapping[str, Any], ...] = ()
    profile: str = ""


def describe(folder: Path) -> tuple[FileEntry, ...]:
    """Entries of every file below ``folder`` except the manifest, sorted by path."""
    named = ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*"))
    files = sorted((name, path) for name, path in named if path.is_file() and name != MANIFEST)
    return tuple(FileEntry(name, path.stat().st_size, sha256_of(path)) for name, path in files)


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write ``manifest.json`` into the bundle."""
    content = {
        "schema": BUNDLE_SCHEMA,
        "quantkit": __version__,
        "name": manifest.name,
        **({"profile": manifest.profile} if manifest.profile else {}),
        "model_sha256": manifest.model_sha256,
        "frontend_added": manifest.frontend_added,
        "tested_on": [dict(runtime) for runtime in manifest.tested_on],
        **({"examples": [dict(run) for run in manifest.examples]} if manifest.examples else {}),
        **({"provenance": dict(manifest.provenance)} if manifest.provenance else {}),
        **({} if manifest.hosts is None else {"hosts": manifest.hosts.to_json()}),
        "files": [
            {"path": entry.path, "bytes": entry.size, "sha256": entry.sha256}
            for entry in manifest.files
        ],
    }
    write_json(folder / MANIFEST, content)


def read_manifest(folder: Path) -> Manifest:
    """Read and check a bundle's manifest; no other file of the bundle is opened.

    Raises:
        BundleError: it is missing, malformed or of another schema, lacks a file that every
            bundle has, or names a path that is not a plain path inside the bundle.
    """
    path = folder / MANIFEST
    content = _parse(path)
    files = content.get("files")
    if not isinstance(files, list):
        raise BundleError(f"{path}: 'files' is not a list")
    entries = tuple(_entry(item, f"{path}: files[{i}]") for i, item in enumerate(files))
    _refuse_duplicates(entries, path)
    named = {entry.path for entry in entries}
    profile = content.get("profile", "")
    if not isinstance(profile, str):
        raise BundleError(f"{path}: 'profile' is not a string")
    required = REQUIRED_OF_PROFILES if profile else REQUIRED
    if missing := [name for name in required if name not in named]:
        raise BundleError(f"{path} lists no {missing[0]}, which every bundle has")
    tested_on = content.get("tested_on")
    if not isinstance(tested_on, list) or not all(isinstance(run, dict) for run in tested_on):
        raise BundleError(f"{path}: 'tested_on' is not a list of objects")
    examples = content.get("examples", [])
    if not isinstance(examples, list) or not all(isinstance(run, dict) for run in examples):
        raise BundleError(f"{path}: 'examples' is not a list of objects")
    provenance = content.get("provenance", {})
    if not isinstance(provenance, dict):
        raise BundleError(f"{path}: 'provenance' is not an object")
    for key, kind in (("name", str), ("model_sha256", str), ("frontend_added", bool)):
        if not isinstance(content.get(key), kind):
            raise BundleError(f"{path}: {key!r} is missing or not a {kind.__name__}")
    return Manifest(
        content["name"],
        content["model_sha256"],
        content["frontend_added"],
        tuple(tested_on),
        entries,
        _hosts(content["hosts"], path) if "hosts" in content else None,
        provenance,
        tuple(examples),
        profile,
    )


def _hosts(content: Any, path: Path) -> Hosts:
    try:
        return Hosts.from_json(content, f"{path}: 'hosts'")
    except FormatError as error:
        raise BundleError(str(error)) from error


def why_unsafe(path: str) -> str:
    """Why ``path`` is not a plain relative path on every system; empty when it is.

    >>> why_unsafe("weights/model.onnx.data")
    ''
    >>> why_unsafe("../model.onnx")
    'leaves the bundle'
    """
    if not path or len(path) > 1000:
        return "is empty or too long"
    if path.startswith("/") or re.match(r"[A-Za-z]:|\\", path):
        return "is absolute"
    if ".." in re.split(r"[/\\]", path):
        return "leaves the bundle"
    if _FORBIDDEN.search(path):
        return "contains a character that some systems do not allow in file names"
    for part in path.split("/"):
        if part in ("", ".") or part != part.rstrip(". "):
            return "has an empty part, or one that ends in a dot or space"
        if _DEVICES.fullmatch(part):
            return "names a Windows device"
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "is not Unicode"
    return ""


def _parse(path: Path) -> dict[str, Any]:
    try:
        if path.is_symlink():
            raise BundleError(f"{path} is a symbolic link; a bundle contains regular files only")
        if not path.is_file():
            raise BundleError(f"{path.parent} is not a bundle: it has no {MANIFEST}")
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise BundleError(f"{path} is larger than {_MAX_MANIFEST_BYTES} bytes")
        text = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        content = parse_json(text, str(path))
    except FormatError as error:
        raise BundleError(str(error)) from error
    if not isinstance(content, dict) or content.get("schema") != BUNDLE_SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else None
        raise BundleError(f"{path} has schema {found!r}; this version reads {BUNDLE_SCHEMA!r}")
    return content


def _entry(item: Any, where: str) -> FileEntry:
    if not isinstance(item, dict):
        raise BundleError(f"{where} is not an object")
    path, size, digest = item.get("path"), item.get("bytes"), item.get("sha256")
    if not isinstance(path, str):
        raise BundleError(f"{where}: 'path' is missing or not a string")
    if reason := why_unsafe(path):
        raise BundleError(f"{where}: path {path!r} {reason}")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise BundleError(f"{where}: 'bytes' of {path!r} is not a whole number")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise BundleError(f"{where}: 'sha256' of {path!r} is not 64 hexadecimal digits")
    return FileEntry(path, size, digest)


def _refuse_duplicates(entries: tuple[FileEntry, ...], origin: Path) -> None:
    """Refuse two paths that are equal on Windows or macOS, or a file that is also a folder."""
    seen: dict[str, str] = {_folded(MANIFEST): MANIFEST}
    for entry in entries:
        folded = _folded(entry.path)
        if (other := seen.get(folded)) is not None:
            raise BundleError(f"{origin} lists {other!r} and {entry.path!r}, which are one file")
        seen[folded] = entry.path
    for entry in entries:
        for parent in PurePosixPath(entry.path).parents:
            if (other := seen.get(_folded(str(parent)))) is not None:
                raise BundleError(f"{origin} lists {other!r} as a file and as a folder")


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
