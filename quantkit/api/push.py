"""A bundle or a folder goes to the Hugging Face hub."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from quantkit.api.begin import Begin, nothing
from quantkit.api.inputs import PathLike, path_of
from quantkit.publishing.address import hub_address
from quantkit.publishing.hub import client, require_token
from quantkit.publishing.push import Pushed, files_of
from quantkit.publishing.push import push as push_folder


@dataclass(frozen=True)
class PushResult:
    """What :func:`push` put on the hub.

    Args:
        address: that it has there.
        pushed: commit and files.
    """

    address: str
    pushed: Pushed

    @property
    def commit(self) -> str:
        """The commit that holds it."""
        return self.pushed.commit

    @property
    def files(self) -> tuple[str, ...]:
        """Paths in the repository."""
        return self.pushed.files

    def to_dict(self) -> dict[str, Any]:
        """For programs: ``quantkit push --json``."""
        return {"address": self.address, **asdict(self.pushed), "files": list(self.files)}


def push(
    folder: PathLike,
    address: str,
    *,
    endpoint: str = "",
    private: bool = False,
    message: str = "",
    begin: Begin = nothing,
) -> PushResult:
    """Upload a bundle, or a folder with a model, in one commit.

    >>> import quantkit
    >>> quantkit.push("bundle", "hf://acme/tiny-en").commit  # doctest: +SKIP
    '8d1f…'

    Args:
        folder: a bundle, which must be as it was shipped; or another folder, of which all files are
            taken but hidden ones.
        address: ``hf://OWNER/NAME[@BRANCH]``; what is not there is made.
        endpoint: address of the hub; empty: that of ``HF_ENDPOINT``, or huggingface.co.
        private: make the repository private, where it is made.
        message: of the commit.
        begin: see :data:`~quantkit.api.begin.Begin`.

    Raises:
        InputError: no address, nothing to push, no token, or the hub refuses or cannot be reached.
        ModelError: an ``.onnx`` is damaged.
        VerificationError: the bundle is not as it was shipped.
        MissingDependencyError: ``huggingface_hub`` is not installed.
    """
    source, place = path_of(folder, "the folder"), hub_address(address)
    files = files_of(source)
    hub = client(endpoint)
    require_token(hub)
    begin(f"push {len(files)} files of {source} to {place} at {hub.endpoint}")
    made = push_folder(source, place, endpoint=endpoint, private=private, message=message)
    return PushResult(str(place), made)
