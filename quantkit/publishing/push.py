"""From a folder to the hub, in one commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quantkit.bundles.licences import licence_in
from quantkit.bundles.manifest import CARD, LICENCE, MANIFEST, SIGNATURE, read_manifest
from quantkit.bundles.verify import Verification, compare
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import BundleError, InputError
from quantkit.graph.artifact import read_info
from quantkit.publishing.address import HubAddress
from quantkit.publishing.hub import client, hub_errors, require_token

if TYPE_CHECKING:
    from huggingface_hub import HfApi

#: What the hub shows of a repository.
README = "README.md"


@dataclass(frozen=True)
class Pushed:
    """What :func:`push` put on the hub.

    Args:
        commit: that holds it, 40 hexadecimal digits.
        url: of that commit.
        files: their paths in the repository.
        changed: whether anything was different from what was there.
    """

    commit: str
    url: str
    files: tuple[str, ...]
    changed: bool


def files_of(folder: Path) -> dict[str, Path]:
    """What :func:`push` takes of a folder, by path in the repository.

    Of a bundle, which must be as it was shipped, its files; of another folder all but hidden ones.

    Raises:
        InputError: no folder, an empty one, or one with links or devices in it.
        ModelError: an ``.onnx`` is damaged.
        VerificationError: a bundle is not as it was shipped.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; push takes a bundle, or a folder with a model")
    if (folder / MANIFEST).is_file():
        manifest = read_manifest(folder)
        found = compare(folder, manifest, None)
        Verification(len(manifest.files), tuple(found), "", None).require(folder)
        signature = [SIGNATURE] if (folder / SIGNATURE).is_file() else []
        names = [*(entry.path for entry in manifest.files), MANIFEST, *signature]
        return {name: folder / name for name in sorted(names)}
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InputError(f"{path} is no regular file; push takes nothing else")
        if path.is_file():
            files[name] = path
    if not files:
        raise InputError(f"{folder} holds no files")
    for path in files.values():
        if path.suffix == ".onnx":
            read_info(path)
    return files


def push(
    folder: Path,
    address: HubAddress,
    *,
    endpoint: str = "",
    private: bool = False,
    message: str = "",
) -> Pushed:
    """Upload a bundle or a folder; the repository is made where it is not there.

    All of it is one commit, so nobody pulls half. Files of an earlier bundle that the new one does
    not have go.

    Args:
        address: its revision is a branch, which is made where it is not there.
        endpoint: see :func:`~quantkit.publishing.hub.client`.
        private: make the repository private, where it is made.
        message: of the commit.

    Raises:
        InputError: see :func:`files_of` and :func:`~quantkit.publishing.hub.hub_errors`.
        ModelError, VerificationError: see :func:`files_of`.
    """
    files = files_of(folder)
    hub = client(endpoint)
    require_token(hub)
    with hub_errors(hub, address), TemporaryFolder("push") as scratch:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        hub.create_repo(address.repository, private=private or None, exist_ok=True)
        if address.revision:
            hub.create_branch(address.repository, branch=address.revision, exist_ok=True)
        before = hub.model_info(address.repository, revision=address.revision or None)
        present = {each.rfilename for each in before.siblings or ()}
        if MANIFEST in files and README not in files:
            shown = scratch / README
            shown.write_text(_readme(folder), encoding="utf-8")
            files[README] = shown
        stale = _stale(hub, address, str(before.sha), present, scratch) - files.keys()
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(name, path) for name, path in files.items()),
            *(CommitOperationDelete(name) for name in sorted(stale)),
        ]
        made = hub.create_commit(
            address.repository,
            operations,
            commit_message=message or f"Push {folder.resolve().name} with quantkit",
            revision=address.revision or None,
            parent_commit=before.sha,
        )
    commit = str(made.oid)
    return Pushed(commit, str(made.commit_url), tuple(files), commit != before.sha)


def _stale(
    hub: HfApi, address: HubAddress, commit: str, present: set[str], scratch: Path
) -> set[str]:
    """Files of the bundle that is there now; none where there is no bundle."""
    if MANIFEST not in present:
        return set()
    earlier = scratch / "earlier"
    hub.hf_hub_download(address.repository, MANIFEST, revision=commit, local_dir=earlier)
    try:
        listed = {entry.path for entry in read_manifest(earlier).files}
    except BundleError:
        # Somebody else's file of that name.
        return set()
    return (listed | {MANIFEST, SIGNATURE}) & present


def _readme(bundle: Path) -> str:
    """The bundle's card with what the hub reads of a card."""
    licence = licence_in((bundle / LICENCE).read_text(encoding="utf-8"))
    lines = ["---", "library_name: onnx", "tags:", "- quantkit", "- onnx"]
    lines.append(f"license: {licence.lower()}" if licence else "license: other")
    return "\n".join([*lines, "---", "", (bundle / CARD).read_text(encoding="utf-8")])
