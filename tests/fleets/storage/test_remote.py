"""Audio and results at a URL: an S3-like server that runs here, and a file system in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from quantkit.errors import AudioError, InputError, MissingDependencyError, OutputError
from quantkit.fleets.storage.places import is_url, open_storage, opened_corpus, read_place
from quantkit.fleets.users import FleetUser, read_users
from quantkit.fleets.work import UserWork
from tests.api.small import clips, write_clips
from tests.fleets.small import ENOUGH, setup_of, write_model

fsspec = pytest.importorskip("fsspec", reason="the extra fleet is not installed")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket of a server of its own."""
    server = pytest.importorskip("moto.server", reason="moto's server is not installed")
    pytest.importorskip("s3fs", reason="the extra fleet is not installed")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    named = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in named}
    os.environ.update(named)
    try:
        fsspec.filesystem("s3").mkdir("fleet-test")
        yield "s3://fleet-test"
    finally:
        running.stop()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def upload(folder: Path, url: str) -> None:
    system, path = fsspec.core.url_to_fs(url)
    for file in folder.rglob("*"):
        if file.is_file():
            system.pipe_file(f"{path}/{file.relative_to(folder).as_posix()}", file.read_bytes())


@pytest.mark.parametrize("kind", ["s3", "memory"])
def test_what_is_written_is_read_again(kind: str, tmp_path: Path, request) -> None:
    url = request.getfixturevalue("bucket") if kind == "s3" else "memory://store"
    storage = open_storage(f"{url}/results/")
    assert storage.read("jobs/a.json") is None
    assert storage.digest("artifacts/a.onnx") is None
    storage.write("jobs/a.json", b"record")
    (tmp_path / "a.onnx").write_bytes(b"weights")
    storage.put("artifacts/a.onnx", tmp_path / "a.onnx")
    again = open_storage(f"{url}/results")
    assert again.read("jobs/a.json") == b"record"
    found = again.digest("artifacts/a.onnx")
    assert found is not None
    assert found[0] == 7
    assert read_place(f"{url}/results/jobs/a.json") == b"record"


@pytest.mark.slow
def test_a_user_of_a_bucket_gets_artifacts_there_once(bucket: str, tmp_path: Path) -> None:
    write_clips(tmp_path / "voices" / "ann", clips(2))
    (tmp_path / "voices" / "users.tsv").write_text("user\taudio\nann\tann\n")
    upload(tmp_path / "voices", f"{bucket}/voices")
    (ann,) = read_users(f"{bucket}/voices/users.tsv").users
    assert ann.audio == f"{bucket}/voices/ann"
    work = UserWork(setup_of(write_model(tmp_path), f"{bucket}/out", ENOUGH))
    (made,) = work.outcomes(ann)
    assert made.status == "made", made.reason
    assert made.record is not None
    (kept,) = work.outcomes(ann)
    assert kept.status == "kept"
    assert kept.record == made.record
    # The same clips on this machine are the same job.
    assert work.jobs(FleetUser("ann", str(tmp_path / "voices" / "ann"))) == work.jobs(ann)
    storage = open_storage(f"{bucket}/out")
    storage.write(made.record.files[0].name, b"damaged")
    (again,) = work.outcomes(ann)
    assert again.status == "made"
    assert again.record is not None
    assert again.record.files == made.record.files


def test_nothing_at_a_url_is_one_line(bucket: str) -> None:
    with pytest.raises(AudioError, match="there is nothing at"), opened_corpus(f"{bucket}/none"):
        pass
    with pytest.raises(InputError, match="there is nothing at"):
        read_place(f"{bucket}/none.tsv")
    with pytest.raises(OutputError, match="cannot write s3://no-such-bucket"):
        open_storage("s3://no-such-bucket/x").write("a", b"")


def test_a_kind_of_url_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="nosuch://x"):
        open_storage("nosuch://x/y")


def test_without_fsspec_a_url_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(MissingDependencyError, match=r"quantkit\[fleet\]"):
        open_storage("s3://x/y")


def test_a_drive_of_windows_is_no_url() -> None:
    assert not is_url("C:\\voices")
    assert not is_url("voices/ann")
    assert is_url("gs://voices")
