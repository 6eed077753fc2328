"""What is pulled is compared with its checksums before it appears."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest

from quantkit.bundles import verify
from quantkit.bundles.manifest import SIGNATURE
from quantkit.errors import BundleError, InputError, OutputError, VerificationError
from quantkit.publishing import HubAddress, pull, push
from tests.hub_server import Hub
from tests.publishing.test_push import PLACE, contents


@pytest.fixture
def there(hub: Hub, signed: Path) -> Path:
    """A signed bundle that was pushed."""
    push(signed, PLACE, endpoint=hub.url)
    return signed


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "pulled" / "bundle"


def test_a_bundle_comes_back_as_it_was(
    hub: Hub, there: Path, public: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever only reads needs no token.
    monkeypatch.delenv("HF_TOKEN")
    shares: list[float] = []
    made = pull(
        PLACE, out, endpoint=hub.url, public_key=public,
        progress=lambda stage, share: shares.append(share),
    )  # fmt: skip
    assert contents(out) == contents(there)
    assert set(made.files) == set(contents(there))
    assert made.commit == hub.repositories["tester/tiny"].branches["main"]
    assert (made.is_bundle, made.signature) == (True, "verified")
    assert shares[-1] == 1.0
    assert verify(out, public_key=public).findings == ()
    assert list(out.parent.iterdir()) == [out]


def test_an_earlier_revision(hub: Hub, there: Path, out: Path) -> None:
    first = hub.repositories["tester/tiny"].branches["main"]
    hub.put("tester/tiny", {"other": b"other"})
    made = pull(HubAddress("tester/tiny", first), out, endpoint=hub.url)
    assert made.commit == first
    assert made.signature == "unchecked"
    assert contents(out) == contents(there)


def test_a_folder_without_a_manifest(hub: Hub, artifact: Path, out: Path) -> None:
    hub.put("a/b", {
        "int8.onnx": artifact.read_bytes(), "sub/tokens.txt": b"a 0\n", ".gitattributes": b"",
    })  # fmt: skip
    made = pull(HubAddress("a/b"), out, endpoint=hub.url)
    assert made.files == ("int8.onnx", "sub/tokens.txt")
    assert (out / "sub" / "tokens.txt").read_bytes() == b"a 0\n"
    assert {path.name for path in out.iterdir()} == {"int8.onnx", "sub"}


def test_an_earlier_bundle_is_replaced_only_with_force(
    hub: Hub, there: Path, shipped: Path, out: Path
) -> None:
    shutil.copytree(shipped, out)
    with pytest.raises(OutputError, match="--force"):
        pull(PLACE, out, endpoint=hub.url)
    pull(PLACE, out, endpoint=hub.url, force=True)
    assert SIGNATURE in contents(out)


class TestDamage:
    """The folder does not appear, and what was there stays."""

    def refused(self, hub: Hub, out: Path, key: Path | None = None) -> str:
        with pytest.raises(VerificationError) as found:
            pull(PLACE, out, endpoint=hub.url, public_key=key)
        assert not out.exists()
        assert not out.parent.exists() or not list(out.parent.iterdir())
        assert str(found.value).startswith("hf://tester/tiny ")
        return str(found.value)

    def test_a_file_that_was_changed_on_the_way(self, hub: Hub, there: Path, out: Path) -> None:
        hub.change.add("model.onnx")
        assert "model.onnx: differs from what was shipped" in self.refused(hub, out)

    def test_a_file_that_is_missing(self, hub: Hub, there: Path, out: Path) -> None:
        files = dict(hub.files("tester/tiny"))
        del files["LICENCE"]
        hub.put("tester/tiny", files)
        assert "LICENCE: is missing" in self.refused(hub, out)

    def test_a_bundle_whose_manifest_was_made_to_fit(
        self, hub: Hub, there: Path, out: Path, public: Path, shipped: Path
    ) -> None:
        files = dict(hub.files("tester/tiny"))
        manifest = json.loads(files["manifest.json"])
        manifest["name"] = "something better"
        hub.put("tester/tiny", files | {"manifest.json": json.dumps(manifest).encode()})
        assert "differs from what was signed" in self.refused(hub, out, public)

    def test_a_bundle_without_the_signature_that_is_asked_for(
        self, hub: Hub, bundle: Path, keys: tuple[Path, Path], out: Path
    ) -> None:
        push(bundle, PLACE, endpoint=hub.url)
        assert "not signed" in self.refused(hub, out, keys[1])
        hub.put("tester/tiny", {"other": b"other"})
        assert "is no bundle" in self.refused(hub, out, keys[1])

    def test_a_model_in_a_folder_whose_checksum_does_not_hold(
        self, hub: Hub, artifact: Path, out: Path
    ) -> None:
        content = bytearray(artifact.read_bytes())
        content[len(content) // 2] ^= 1
        hub.put("a/b", {"int8.onnx": bytes(content)})
        with pytest.raises(VerificationError, match=r"hf://a/b: int8\.onnx"):
            pull(HubAddress("a/b"), out, endpoint=hub.url)
        assert not out.exists()

    @pytest.mark.parametrize("name", ["../out", "a/../../b", "C:x", "/etc/passwd", "a\\b"])
    def test_a_file_that_would_lie_outside(self, hub: Hub, out: Path, name: str) -> None:
        hub.put("a/b", {"int8.onnx": b"", name: b""})
        with pytest.raises(BundleError, match="has a file"):
            pull(HubAddress("a/b"), out, endpoint=hub.url)
        assert not any(" /a/b/resolve" in asked for asked in hub.asked)


class TestConnections:
    def refused(self, address: HubAddress, out: Path, endpoint: str) -> str:
        with pytest.raises(InputError) as found:
            pull(address, out, endpoint=endpoint)
        assert not out.parent.exists() or not list(out.parent.iterdir())
        assert "\n" not in str(found.value)
        return str(found.value)

    def test_a_repository_that_is_not_there(
        self, hub: Hub, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = HubAddress("tester/none")
        assert "there is no tester/none at" in self.refused(place, out, hub.url)
        monkeypatch.delenv("HF_TOKEN")
        assert "a private one takes a token" in self.refused(place, out, hub.url)

    def test_a_revision_that_is_not_there(self, hub: Hub, there: Path, out: Path) -> None:
        place = HubAddress("tester/tiny", "v9")
        assert "has no revision 'v9'" in self.refused(place, out, hub.url)

    def test_a_download_that_breaks_off(self, hub: Hub, there: Path, out: Path) -> None:
        hub.break_off.add("model.onnx")
        hub.large.clear()
        assert "the connection to" in self.refused(PLACE, out, hub.url)

    def test_no_hub_at_the_address(self, hub: Hub, out: Path) -> None:
        assert "the connection to" in self.refused(PLACE, out, "http://127.0.0.1:9")

    def test_a_hub_that_is_out_of_order(self, hub: Hub, there: Path, out: Path) -> None:
        hub.failing = 500
        assert "answered HTTP 500" in self.refused(PLACE, out, hub.url)

    def test_offline_mode(
        self, hub: Hub, there: Path, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        hub.asked.clear()
        self.refused(PLACE, out, hub.url)
        assert hub.asked == []
