"""A bundle or a folder comes from the Hugging Face hub."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quantkit.api.begin import Begin, nothing
from quantkit.api.inputs import PathLike, optional_path, path_of
from quantkit.bundles.bundle import require_replaceable
from quantkit.progress import Progress
from quantkit.publishing.address import hub_address
from quantkit.publishing.hub import client
from quantkit.publishing.pull import Pulled
from quantkit.publishing.pull import pull as pull_folder


@dataclass(frozen=True)
class PullResult:
    """What :func:`pull` brought.

    Args:
        path: the folder.
        address: that it came from.
        pulled: commit, files and what is known of them.
    """

    path: Path
    address: str
    pulled: Pulled

    @property
    def commit(self) -> str:
        """The commit that was pulled."""
        return self.pulled.commit

    @property
    def files(self) -> tuple[str, ...]:
        """Paths below the folder."""
        return self.pulled.files

    def to_dict(self) -> dict[str, Any]:
        """For programs: ``quantkit pull --json``."""
        content = {"path": str(self.path), "address": self.address, **asdict(self.pulled)}
        return content | {"files": list(self.files)}


def pull(
    address: str,
    output: PathLike,
    *,
    endpoint: str = "",
    public_key: PathLike | None = None,
    force: bool = False,
    begin: Begin = nothing,
    progress: Progress | None = None,
) -> PullResult:
    """Download a bundle, or a folder with a model, and check it before it appears.

    >>> import quantkit
    >>> quantkit.pull("hf://acme/tiny-en@v1", "bundle").files  # doctest: +SKIP
    ('CARD.md', 'LICENCE', …)

    Args:
        address: ``hf://OWNER/NAME[@REVISION]``: a branch, a tag or a commit.
        output: the folder; nothing is there until every checksum was compared.
        endpoint: address of the hub; empty: that of ``HF_ENDPOINT``, or huggingface.co.
        public_key: of whom the bundle must be signed by (PEM).
        force: replace an earlier bundle at ``output``; nothing else is ever replaced.
        begin: see :data:`~quantkit.api.begin.Begin`.
        progress: see :data:`~quantkit.progress.Progress`.

    Raises:
        InputError: no address, no such repository or revision, no token where one is needed, a
            connection that fails or breaks off, or a file that is no public key.
        BundleError: the manifest is malformed, or a file would lie outside the folder.
        VerificationError: something is not as it was shipped, or not signed with the key.
        OutputError: ``output`` exists and may not be replaced, or cannot be written.
        MissingDependencyError: ``huggingface_hub``, or for a key ``model-signing``, is not
            installed.
    """
    place, destination = hub_address(address), path_of(output, "the output")
    require_replaceable(destination, force)
    hub = client(endpoint)
    begin(f"pull {place} from {hub.endpoint}, and compare its checksums")
    made = pull_folder(
        place,
        destination,
        endpoint=endpoint,
        public_key=optional_path(public_key, "the public key"),
        force=force,
        progress=progress,
    )
    return PullResult(destination, str(place), made)
