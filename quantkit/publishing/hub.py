"""The hub's client, and one clear line for each way in which a hub says no.

https://huggingface.co/docs/huggingface_hub
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from quantkit.errors import InputError, MissingDependencyError, QuantkitError
from quantkit.publishing.address import HubAddress

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_LOGIN = "let HF_TOKEN hold one, or `hf auth login`"


def client(endpoint: str) -> HfApi:
    """The client of a hub; it opens no connection yet.

    Args:
        endpoint: address of the hub, such as ``https://hub.example.com``; empty: that of
            ``HF_ENDPOINT``, or huggingface.co.

    Raises:
        InputError: ``endpoint`` is no address.
        MissingDependencyError: ``huggingface_hub`` is not installed.
    """
    if endpoint and not endpoint.startswith(("https://", "http://")):
        raise InputError(
            f"the endpoint is an address such as https://huggingface.co, not {endpoint!r}"
        )
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError as error:
        raise MissingDependencyError(
            "the hub needs huggingface_hub: pip install 'quantkit[hub]'"
        ) from error
    # Commands show progress of their own, or none.
    disable_progress_bars()
    return HfApi(endpoint=endpoint.rstrip("/") or None, library_name="quantkit")


@contextmanager
def hub_errors(hub: HfApi, address: HubAddress) -> Iterator[None]:
    """Say in one line what goes wrong between here and the hub.

    Raises:
        InputError: the repository or the revision is not there, the token is missing or may not do
            this, the hub cannot be reached, or what it sends breaks off.
        OSError: what is received cannot be written here.
    """
    try:
        yield
    except QuantkitError:
        raise
    except Exception as error:
        # Connections fail with classes of whichever HTTP library the client uses.
        if _is_of_this_disk(error):
            raise
        raise InputError(_said(error, hub, address)) from error


def require_token(hub: HfApi) -> None:
    """Refuse to write to a hub as nobody.

    Raises:
        InputError: there is no token.
    """
    from huggingface_hub import get_token

    if get_token() is None:
        raise InputError(f"pushing to {hub.endpoint} takes a token: {_LOGIN}")


def _said(error: Exception, hub: HfApi, address: HubAddress) -> str:
    from huggingface_hub import get_token
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where, causes = hub.endpoint, list(_causes(error))
    for each in causes:
        if isinstance(each, OfflineModeIsEnabled):
            return f"{address}: HF_HUB_OFFLINE keeps everything from asking {where}; unset it"
        if isinstance(each, GatedRepoError):
            return f"{address}: its owner must grant access: request it on its page"
        if isinstance(each, RepositoryNotFoundError):
            hidden = "" if get_token() else f"; a private one takes a token: {_LOGIN}"
            return f"there is no {address.repository} at {where}, or it is private{hidden}"
        if isinstance(each, RevisionNotFoundError):
            return f"{address.repository} at {where} has no revision {address.revision or 'main'!r}"
    for each in causes:
        if isinstance(each, HfHubHTTPError) and getattr(each, "response", None) is not None:
            status = each.response.status_code
            if status in (401, 403):
                return f"{address}: {where} refuses (HTTP {status}): the token may not do this"
            message = " ".join(str(each.server_message or "").split())[:200]
            return f"{address}: {where} answered HTTP {status}{': ' if message else ''}{message}"
    last = causes[-1]
    reason = " ".join(str(last).split())[:200] or type(last).__name__
    return f"{address}: the connection to {where} failed: {reason}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the outermost first."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _is_of_this_disk(error: Exception) -> bool:
    ours = isinstance(error, OSError) and error.errno is not None and error.filename is not None
    return ours and not isinstance(error, ConnectionError | TimeoutError | FileNotFoundError)
