"""From the hub into a folder, checked before it appears."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quantkit.bundles.bundle import require_replaceable
from quantkit.bundles.manifest import MANIFEST, SIGNATURE, read_manifest, why_unsafe
from quantkit.bundles.signing import SignatureCheck
from quantkit.bundles.verify import Verification, compare
from quantkit.disk.replacing import replaced_folder
from quantkit.errors import BundleError, InputError, ModelError, VerificationError
from quantkit.graph.artifact import read_info
from quantkit.progress import Progress
from quantkit.publishing.address import HubAddress
from quantkit.publishing.hub import client, hub_errors

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# What the hub itself puts into a repository.
_OF_THE_HUB = (".gitattributes",)
# Where the client notes what it has downloaded.
_NOTES = ".cache"


@dataclass(frozen=True)
class Pulled:
    """What :func:`pull` brought.

    Args:
        commit: that was pulled, 40 hexadecimal digits.
        files: paths below the folder.
        is_bundle: whether it is a bundle, whose every file was compared with its manifest.
        signature: as :class:`~quantkit.bundles.verify.Verification` has it.
    """

    commit: str
    files: tuple[str, ...]
    is_bundle: bool
    signature: str


def pull(
    address: HubAddress,
    destination: Path,
    *,
    endpoint: str = "",
    public_key: Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Pulled:
    """Download a repository into ``destination``, which appears when all of it is checked.

    Of a bundle the files of its manifest are taken, and compared with it; of another folder all,
    and each ``.onnx`` of quantkit with the checksum that it carries. Nothing is run.

    Args:
        endpoint: see :func:`~quantkit.publishing.hub.client`.
        public_key: of whom the bundle must be signed by.
        force: replace an earlier bundle at ``destination``.
        progress: see :data:`~quantkit.progress.Progress`.

    Raises:
        InputError: see :func:`~quantkit.publishing.hub.hub_errors`; or ``public_key`` is none.
        BundleError: the manifest is malformed, or a file would lie outside the folder.
        ModelError: an ``.onnx`` cannot be read.
        VerificationError: something is not as it was shipped or signed.
        OutputError: ``destination`` exists and may not be replaced, or cannot be written.
    """
    require_replaceable(destination, force)
    check = None if public_key is None else SignatureCheck(public_key)
    hub = client(endpoint)
    with replaced_folder(
        destination, check=lambda: require_replaceable(destination, force)
    ) as folder:
        with hub_errors(hub, address):
            found = hub.model_info(
                address.repository, revision=address.revision or None, files_metadata=True
            )
        commit = str(found.sha)
        sizes = {each.rfilename: each.size or 0 for each in found.siblings or ()}
        fetch = _Fetching(hub, address, commit, sizes, folder, progress)
        if MANIFEST not in sizes:
            if check is not None:
                raise VerificationError(f"{address} is no bundle: nothing there is signed")
            files = _pull_folder(fetch)
            return Pulled(commit, files, False, "")
        files = _pull_bundle(fetch)
        _compare(folder, check, address)
        signature = "verified" if check else "unchecked" if SIGNATURE in files else ""
        return Pulled(commit, files, True, signature)


@dataclass(frozen=True)
class _Fetching:
    """Downloads from one commit into one folder."""

    hub: HfApi
    address: HubAddress
    commit: str
    sizes: Mapping[str, int]
    folder: Path
    progress: Progress | None

    def fetch(self, names: tuple[str, ...]) -> None:
        """Download the files of these names, which are safe."""
        total, done = sum(self.sizes[name] for name in names) or 1, 0
        for name in names:
            with hub_errors(self.hub, self.address):
                self.hub.hf_hub_download(
                    self.address.repository, name, revision=self.commit, local_dir=self.folder
                )
            done += self.sizes[name]
            if self.progress is not None:
                self.progress("pulling", done / total)
        shutil.rmtree(self.folder / _NOTES, ignore_errors=True)


def _pull_bundle(fetch: _Fetching) -> tuple[str, ...]:
    fetch.fetch((MANIFEST,))
    listed = {entry.path for entry in read_manifest(fetch.folder).files} | {SIGNATURE}
    # What is listed and not there is found when all is compared.
    names = tuple(sorted(name for name in listed if name in fetch.sizes))
    fetch.fetch(names)
    return (*names, MANIFEST)


def _pull_folder(fetch: _Fetching) -> tuple[str, ...]:
    names = tuple(sorted(name for name in fetch.sizes if name not in _OF_THE_HUB))
    for name in names:
        if reason := why_unsafe(name):
            raise BundleError(f"{fetch.address} has a file {name!r}, which {reason}")
    if not names:
        raise InputError(f"{fetch.address} has no files")
    fetch.fetch(names)
    for name in names:
        if name.endswith(".onnx"):
            _require_intact(fetch.folder / name, f"{fetch.address}: {name}")
    return names


def _require_intact(path: Path, what: str) -> None:
    """Of an artifact of quantkit; a model of others carries no checksum."""
    try:
        read_info(path)
    except ModelError as error:
        reason = str(error).replace(str(path), what)
        raise VerificationError(reason) from error


def _compare(folder: Path, check: SignatureCheck | None, address: HubAddress) -> None:
    manifest = read_manifest(folder)
    findings = compare(folder, manifest, check)
    result = Verification(len(manifest.files), tuple(findings), "", None)
    try:
        result.require(Path(str(address)))
    except VerificationError as error:
        # A path would lose one of the slashes.
        raise VerificationError(str(error).replace(str(Path(str(address))), str(address))) from None
