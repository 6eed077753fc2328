"""A hub on this machine, a token for it, and a client that opens no other connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import huggingface_hub.utils._http
import pytest

from tests.bundles.conftest import (  # noqa: F401
    anonymous,
    artifact,
    bundle,
    fused_artifact,
    info,
    shipped,
)
from tests.bundles.test_signing import keys, public, signed  # noqa: F401
from tests.hub_server import TOKEN, Hub, serving


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    # The server has the older of the two protocols for large files.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr("time.sleep", lambda _: None)
    connect = socket.socket.connect

    def to_this_machine(self: socket.socket, address: Any) -> None:
        assert address[0] == "127.0.0.1", f"a connection to {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", to_this_machine)
    with serving() as hub:
        yield hub
