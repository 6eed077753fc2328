"""The HTTP interface of the Hugging Face hub, as far as its client asks for it, on this machine.

Models with branches and commits, tokens, large files by the protocol of Git LFS. It can be told to
fail: to break downloads off, or to answer with an error.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"
# Files from this size on are large.
_LARGE = 2_000


@dataclass
class Repository:
    """Commits, each with its files, and the branches that name them."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        before = self.branches.get(branch, "")
        content = [before, *(f"{n} {hashlib.sha256(b).hexdigest()}" for n, b in files.items())]
        name = hashlib.sha1("\n".join(content).encode()).hexdigest()
        self.commits[name], self.branches[branch] = dict(files), name
        return name


@dataclass
class Hub:
    """What the server holds and does.

    Args:
        url: address.
        repositories: by ``OWNER/NAME``.
        large: contents by SHA-256.
        asked: method and path of each request.
        break_off: names of files of which half is sent before the connection is closed.
        change: names of files of which another content of the same length is sent.
        failing: status that every request gets, or None.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    break_off: set[str] = field(default_factory=set)
    change: set[str] = field(default_factory=set)
    failing: int | None = None

    def put(self, repository: str, files: dict[str, bytes], branch: str = "main") -> str:
        """A commit that holds ``files`` alone."""
        return self.repositories.setdefault(repository, Repository()).commit(branch, files)

    def files(self, repository: str, branch: str = "main") -> dict[str, bytes]:
        """What lies at the tip of a branch."""
        found = self.repositories[repository]
        return found.commits[found.branches[branch]]


class _Refused(Exception):
    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing: what was asked is in ``hub.asked``."""

    def do_GET(self) -> None:
        self._answered()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _answered(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        try:
            if self.hub.failing is not None:
                raise _Refused(self.hub.failing, message="out of order")
            self._route(path, body)
        except _Refused as refused:
            headers = {"X-Error-Code": refused.code} if refused.code else {}
            headers |= {"X-Error-Message": refused.message} if refused.message else {}
            self._send(refused.status, json.dumps({"error": refused.message}).encode(), headers)

    def _route(self, path: str, body: bytes) -> None:
        if path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._info(found[1], found[2] or "main")
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/branch/(.+)", path):
            self._branch(found[1], found[2])
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/(.+)", path):
            self._preupload(found[1], found[2], json.loads(body))
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/(.+)", path):
            self._commit(found[1], found[2], body)
        elif found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            self._batch(found[1], json.loads(body))
        elif found := re.fullmatch(r"/large/([0-9a-f]{64})", path):
            if hashlib.sha256(body).hexdigest() != found[1]:
                raise _Refused(400, message="another content")
            self.hub.large[found[1]] = body
            self._json({})
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(found[1], found[2], found[3])
        else:
            raise _Refused(404, message=f"no {path} here")

    def _authorised(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _writer(self) -> None:
        if not self._authorised():
            raise _Refused(401, message="Invalid username or password.")

    def _repository(self, name: str) -> Repository:
        found = self.hub.repositories.get(name)
        if found is None or (found.private and not self._authorised()):
            # So the hub answers for both.
            raise _Refused(401 if not self._authorised() else 404, "RepoNotFound")
        return found

    def _at(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        repository = self._repository(name)
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit, repository.commits[commit]

    def _create(self, asked: dict[str, Any]) -> None:
        self._writer()
        owner = asked.get("organization") or "tester"
        name = f"{owner}/{asked['name']}"
        if owner not in ("tester", "acme"):
            raise _Refused(403, message=f"You may not create models under {owner}")
        url = json.dumps({"url": f"{self.hub.url}/{name}", "id": name, "name": name}).encode()
        if name in self.hub.repositories:
            self._send(409, url, {"X-Error-Message": "You already created this model repo"})
            return
        self.hub.repositories[name] = Repository(
            private=bool(asked.get("private")) or asked.get("visibility") == "private"
        )
        self.hub.put(name, {".gitattributes": b"*.onnx filter=lfs\n"})
        self._send(200, url)

    def _info(self, name: str, revision: str) -> None:
        commit, files = self._at(name, revision)
        siblings = [{"rfilename": path, "size": len(content)} for path, content in files.items()]
        self._json({"id": name, "modelId": name, "sha": commit, "siblings": siblings})

    def _branch(self, name: str, branch: str) -> None:
        self._writer()
        repository = self._repository(name)
        if branch in repository.branches:
            raise _Refused(409, message="exists")
        repository.branches[branch] = repository.branches["main"]
        self._json({})

    def _preupload(self, name: str, branch: str, asked: dict[str, Any]) -> None:
        self._writer()
        self._at(name, branch)
        modes = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["size"] >= _LARGE else "regular",
                "shouldIgnore": False,
            }
            for each in asked["files"]
        ]
        self._json({"files": modes})

    def _batch(self, name: str, asked: dict[str, Any]) -> None:
        self._writer()
        self._repository(name)
        objects = []
        for each in asked["objects"]:
            place = {"href": f"{self.hub.url}/large/{each['oid']}"}
            known = each["oid"] in self.hub.large
            objects.append(each | ({} if known else {"actions": {"upload": place}}))
        self._json({"transfer": "basic", "objects": objects})

    def _commit(self, name: str, branch: str, body: bytes) -> None:
        self._writer()
        commit, files = self._at(name, branch)
        files = dict(files)
        for line in body.splitlines():
            row = json.loads(line)
            value = row["value"]
            if row["key"] == "header" and value.get("parentCommit") not in (None, commit):
                raise _Refused(412, message="A commit has happened since.")
            if row["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif row["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif row["key"] == "deletedFile":
                del files[value["path"]]
        made = self.hub.repositories[name].commit(branch, files)
        url = f"{self.hub.url}/{name}/commit/{made}"
        self._json({"success": True, "commitOid": made, "commitUrl": url})

    def _file(self, name: str, revision: str, path: str) -> None:
        commit, files = self._at(name, revision)
        if path not in files:
            raise _Refused(404, "EntryNotFound")
        content = files[path]
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
        }
        if path in self.hub.change:
            content = bytes(byte ^ 1 for byte in content)
        if (wanted := self.headers.get("Range")) and self.command == "GET":
            # The client goes on where a download broke off.
            content = content[int(wanted.removeprefix("bytes=").split("-")[0]) :]
        self._send(200 if not wanted else 206, content, headers, path in self.hub.break_off)

    def _json(self, content: dict[str, Any]) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(
        self, status: int, content: bytes, headers: dict[str, str] | None = None, cut: bool = False
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub on a free port of this machine, for as long as the block lasts."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
