"""What is pushed is one commit with the files of the bundle."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quantkit.bundles.manifest import SIGNATURE
from quantkit.errors import InputError, ModelError, VerificationError
from quantkit.publishing import HubAddress, push
from tests.hub_server import Hub

PLACE = HubAddress("tester/tiny")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_bundle_with_small_and_large_files(hub: Hub, signed: Path) -> None:
    made = push(signed, PLACE, endpoint=hub.url)
    there = hub.files("tester/tiny")
    assert {**there, **contents(signed)} == there
    assert set(there) - set(contents(signed)) == {".gitattributes", "README.md"}
    assert made.commit == hub.repositories["tester/tiny"].branches["main"]
    assert made.changed
    assert hub.large
    card = there["README.md"].decode()
    assert card.startswith("---\n")
    assert "license: cc0-1.0" in card
    assert "# tiny int8" in card


def test_the_same_bundle_again_makes_no_commit(hub: Hub, bundle: Path) -> None:
    first = push(bundle, PLACE, endpoint=hub.url)
    assert len(hub.repositories["tester/tiny"].commits) == 2
    again = push(bundle, PLACE, endpoint=hub.url)
    assert again.files == first.files


def test_files_of_an_earlier_bundle_go_and_others_stay(
    hub: Hub, signed: Path, tmp_path: Path
) -> None:
    push(signed, PLACE, endpoint=hub.url)
    hub.put("tester/tiny", hub.files("tester/tiny") | {"notes.txt": b"mine"})
    (signed / SIGNATURE).unlink()
    push(signed, PLACE, endpoint=hub.url)
    assert SIGNATURE not in hub.files("tester/tiny")
    assert hub.files("tester/tiny")["notes.txt"] == b"mine"


def test_a_branch_and_a_private_repository(hub: Hub, bundle: Path) -> None:
    push(bundle, HubAddress("acme/tiny", "v2"), endpoint=hub.url, private=True)
    assert hub.repositories["acme/tiny"].private
    assert "model.onnx" in hub.files("acme/tiny", "v2")
    assert "model.onnx" not in hub.files("acme/tiny")
    # And into the same branch once more.
    push(bundle, HubAddress("acme/tiny", "v2"), endpoint=hub.url)


def test_a_folder_goes_as_it_is_but_for_what_is_hidden(
    hub: Hub, artifact: Path, tmp_path: Path
) -> None:
    (artifact.parent / "sub").mkdir()
    (artifact.parent / "sub" / "tokens.txt").write_text("a 0\n")
    (artifact.parent / ".git").mkdir()
    (artifact.parent / ".git" / "config").write_text("secret")
    (artifact.parent / ".env").write_text("secret")
    made = push(artifact.parent, PLACE, endpoint=hub.url)
    assert made.files == ("int8.onnx", "sub/tokens.txt")
    assert set(hub.files("tester/tiny")) == {".gitattributes", *made.files}


class TestRefusals:
    """Nothing is asked of the hub before what can be checked here is checked."""

    def test_a_damaged_bundle(self, hub: Hub, bundle: Path) -> None:
        (bundle / "CARD.md").write_text("better")
        with pytest.raises(VerificationError, match=r"CARD\.md"):
            push(bundle, PLACE, endpoint=hub.url)
        assert hub.asked == []

    def test_a_damaged_model(self, hub: Hub, artifact: Path) -> None:
        content = bytearray(artifact.read_bytes())
        content[len(content) // 2] ^= 1
        artifact.write_bytes(content)
        with pytest.raises(ModelError, match=r"int8\.onnx"):
            push(artifact.parent, PLACE, endpoint=hub.url)
        assert hub.asked == []

    def test_a_file_an_empty_folder_and_one_with_a_link(
        self, hub: Hub, artifact: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "empty").mkdir()
        for source, reason in ((artifact, "is no folder"), (tmp_path / "empty", "holds no files")):
            with pytest.raises(InputError, match=reason):
                push(source, PLACE, endpoint=hub.url)
        (artifact.parent / "way-out").symlink_to(tmp_path)
        with pytest.raises(InputError, match="is no regular file"):
            push(artifact.parent, PLACE, endpoint=hub.url)
        (artifact.parent / "way-out").unlink()
        os.mkfifo(artifact.parent / "pipe")
        with pytest.raises(InputError, match="is no regular file"):
            push(artifact.parent, PLACE, endpoint=hub.url)
        assert hub.asked == []

    def test_without_a_token(self, hub: Hub, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HF_TOKEN")
        with pytest.raises(InputError, match="takes a token: let HF_TOKEN hold one"):
            push(bundle, PLACE, endpoint=hub.url)
        assert hub.asked == []

    def test_with_a_wrong_token(
        self, hub: Hub, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        with pytest.raises(InputError, match="refuses"):
            push(bundle, PLACE, endpoint=hub.url)

    def test_under_an_owner_of_others(self, hub: Hub, bundle: Path) -> None:
        with pytest.raises(InputError, match=r"refuses \(HTTP 403\)"):
            push(bundle, HubAddress("google/tiny"), endpoint=hub.url)

    def test_a_hub_that_is_out_of_order(self, hub: Hub, bundle: Path) -> None:
        hub.failing = 503
        with pytest.raises(InputError, match="answered HTTP 503"):
            push(bundle, PLACE, endpoint=hub.url)

    def test_an_endpoint_that_is_none(self, bundle: Path) -> None:
        with pytest.raises(InputError, match="an address such as"):
            push(bundle, PLACE, endpoint="hub.example.com")
