"""A signature proves who made a bundle, and that nothing in it was changed since."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from quantkit.bundles import ship, verify
from quantkit.bundles.manifest import SIGNATURE
from quantkit.bundles.signing import PASSWORD, Signer
from quantkit.disk.files import sha256_of
from quantkit.errors import InputError, MissingDependencyError
from tests.bundles.test_verify import edit, listing

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def write_keys(folder: Path, name: str, key: Private, password: bytes = b"") -> tuple[Path, Path]:
    """A private and a public key as files in PEM."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(pem, pkcs8, encryption))
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(pem, info))
    return private, public


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path, "key", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def public(keys: tuple[Path, Path]) -> Path:
    return keys[1]


@pytest.fixture
def signed(bundle: Path, keys: tuple[Path, Path]) -> Path:
    Signer(keys[0]).sign(bundle, "tiny int8")
    return bundle


def found(bundle: Path, public: Path) -> list[tuple[str, str]]:
    result = verify(bundle, public_key=public)
    # What is not as it was signed is never run.
    assert (result.runtime is None) == bool(result.findings)
    return [(finding.problem, finding.path) for finding in result.findings]


def detail(bundle: Path, public: Path) -> str:
    (finding,) = verify(bundle, public_key=public).findings
    return finding.detail


def relist(bundle: Path, *names: str) -> None:
    """Make the manifest fit files that were changed, as somebody would who can write the bundle."""
    edit(bundle, lambda m: m.update(
        files=[f for f in m["files"] if f["path"] not in names]
        + [listing(bundle, name) for name in names]
    ))  # fmt: skip


class TestShip:
    def test_a_bundle_is_signed_as_it_is_made(
        self, artifact: Path, tmp_path: Path, keys: tuple[Path, Path]
    ) -> None:
        ship(artifact, tmp_path / "b", sign=keys[0])
        assert verify(tmp_path / "b", public_key=keys[1]).signature == "verified"
        assert verify(tmp_path / "b").signature == "unchecked"
        payload = json.loads((tmp_path / "b" / SIGNATURE).read_text())["dsseEnvelope"]["payload"]
        statement = json.loads(base64.b64decode(payload))
        assert statement["subject"][0]["name"] == "tiny int8"
        names = {row["name"] for row in statement["predicate"]["resources"]}
        files = [path for path in (tmp_path / "b").rglob("*") if path.is_file()]
        inside = {path.relative_to(tmp_path / "b").as_posix() for path in files}
        assert names == inside - {SIGNATURE}

    def test_a_signed_bundle_is_replaced_like_another(
        self, artifact: Path, tmp_path: Path, keys: tuple[Path, Path]
    ) -> None:
        ship(artifact, tmp_path / "b", sign=keys[0])
        ship(artifact, tmp_path / "b", force=True)
        assert not (tmp_path / "b" / SIGNATURE).exists()

    @pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
    def test_other_curves(self, bundle: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
        private, public = write_keys(tmp_path, "other", ec.generate_private_key(curve))
        Signer(private).sign(bundle, "b")
        assert found(bundle, public) == []

    def test_an_encrypted_key_needs_its_password(
        self, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        private, public = write_keys(tmp_path, "locked", key, b"secret")
        with pytest.raises(InputError, match=f"encrypted: let {PASSWORD}"):
            Signer(private)
        monkeypatch.setenv(PASSWORD, "guess")
        with pytest.raises(InputError, match="password"):
            Signer(private)
        monkeypatch.setenv(PASSWORD, "secret")
        Signer(private).sign(bundle, "b")
        assert found(bundle, public) == []

    def test_keys_that_cannot_sign_are_refused_before_anything_is_made(
        self, artifact: Path, tmp_path: Path, keys: tuple[Path, Path]
    ) -> None:
        rsa_key, _ = write_keys(tmp_path, "rsa", rsa.generate_private_key(65_537, 2048))
        koblitz, _ = write_keys(tmp_path, "k1", ec.generate_private_key(ec.SECP256K1()))
        (tmp_path / "text.pem").write_text("no key")
        for bad in (rsa_key, koblitz, tmp_path / "text.pem", keys[1]):
            with pytest.raises(InputError, match="cannot sign"):
                ship(artifact, tmp_path / "b", sign=bad)
        with pytest.raises(InputError, match="cannot read the key"):
            ship(artifact, tmp_path / "b", sign=tmp_path / "none.pem")
        assert not (tmp_path / "b").exists()


class TestVerify:
    def test_as_it_was_signed(self, signed: Path, public: Path) -> None:
        assert found(signed, public) == []

    @pytest.mark.parametrize("name", ["model.onnx", "example.py", "CARD.md"])
    def test_a_changed_file_with_a_manifest_that_fits(
        self, signed: Path, public: Path, name: str
    ) -> None:
        with (signed / name).open("ab") as stream:
            stream.write(b"\n")
        relist(signed, name)
        assert found(signed, public) == sorted([("changed", name), ("changed", "manifest.json")])

    def test_an_added_file(self, signed: Path, public: Path) -> None:
        (signed / "more.txt").write_text("more")
        assert found(signed, public) == [("extra", "more.txt")]
        relist(signed, "more.txt")
        assert found(signed, public) == [("changed", "manifest.json"), ("extra", "more.txt")]

    def test_a_hidden_file_of_git_is_an_added_file(self, signed: Path, public: Path) -> None:
        (signed / ".gitattributes").write_text("* -text")
        relist(signed, ".gitattributes")
        assert ("extra", ".gitattributes") in found(signed, public)

    def test_a_missing_file(self, bundle: Path, keys: tuple[Path, Path]) -> None:
        (bundle / "notes.txt").write_text("notes")
        relist(bundle, "notes.txt")
        Signer(keys[0]).sign(bundle, "b")
        assert found(bundle, keys[1]) == []
        (bundle / "notes.txt").unlink()
        assert found(bundle, keys[1]) == [("missing", "notes.txt")]
        edit(bundle, lambda m: m["files"].pop())
        assert found(bundle, keys[1]) == [("changed", "manifest.json"), ("missing", "notes.txt")]

    def test_another_key(self, signed: Path, tmp_path: Path) -> None:
        _, other = write_keys(tmp_path, "other", ec.generate_private_key(ec.SECP256R1()))
        assert found(signed, other) == [("signature", SIGNATURE)]
        assert "was not made with the key of" in detail(signed, other)

    def test_another_key_whose_name_was_put_into_the_signature(
        self, signed: Path, tmp_path: Path, public: Path
    ) -> None:
        private, _ = write_keys(tmp_path, "other", ec.generate_private_key(ec.SECP256R1()))
        genuine = json.loads((signed / SIGNATURE).read_text())["verificationMaterial"]
        Signer(private).sign(signed, "b")
        forged = json.loads((signed / SIGNATURE).read_text())
        for material in (genuine, {**genuine, "publicKey": {}}):
            forged["verificationMaterial"] = material
            (signed / SIGNATURE).write_text(json.dumps(forged))
            assert "was not made with the key of" in detail(signed, public)

    def test_a_bundle_that_is_not_signed(self, bundle: Path, public: Path) -> None:
        assert found(bundle, public) == [("signature", SIGNATURE)]
        assert "not signed" in detail(bundle, public)
        assert verify(bundle).signature == ""

    def test_the_signature_of_another_bundle(
        self, signed: Path, public: Path, tmp_path: Path, shipped: Path
    ) -> None:
        other = Path(shutil.copytree(shipped, tmp_path / "other"))
        (other / "LICENCE").write_text("do as you like\n")
        relist(other, "LICENCE")
        shutil.copyfile(signed / SIGNATURE, other / SIGNATURE)
        assert found(other, public) == [("changed", "LICENCE"), ("changed", "manifest.json")]

    @pytest.mark.parametrize(
        "damage",
        [
            lambda text: "",
            lambda text: text[:100],
            lambda text: "[1, 2]",
            lambda text: "{}",
            lambda text: "[" * 100_000,
            lambda text: text.replace("v0.3+json", "v9"),
            lambda text: text.replace('"signatures": [', '"signatures": [], "x": ['),
            lambda text: text.replace('"payload": "', '"payload": "AAAA'),
            lambda text: "\xff" + text,
        ],
    )
    def test_a_damaged_signature(
        self, signed: Path, public: Path, damage: Callable[[str], str]
    ) -> None:
        text = json.dumps(json.loads((signed / SIGNATURE).read_text()))
        (signed / SIGNATURE).write_text(damage(text), encoding="latin-1")
        assert found(signed, public) == [("signature", SIGNATURE)]

    def test_what_the_example_kept_is_covered_by_no_signature(
        self, signed: Path, public: Path
    ) -> None:
        (signed / ".unpacked-12").mkdir()
        assert verify(signed).findings == ()
        assert found(signed, public) == [("extra", ".unpacked-12")]
        assert "delete it" in detail(signed, public)

    def test_a_link_in_place_of_the_signature(self, signed: Path, public: Path) -> None:
        (signed / SIGNATURE).rename(signed.parent / SIGNATURE)
        (signed / SIGNATURE).symlink_to(signed.parent / SIGNATURE)
        assert found(signed, public) == [("symlink", SIGNATURE)]

    def test_files_that_are_no_public_key(
        self, signed: Path, keys: tuple[Path, Path], tmp_path: Path
    ) -> None:
        with pytest.raises(InputError, match="give the public one"):
            verify(signed, public_key=keys[0])
        (tmp_path / "text").write_text("no key")
        with pytest.raises(InputError, match="is no public key: not an ECDSA key"):
            verify(signed, public_key=tmp_path / "text")
        with pytest.raises(InputError, match="cannot read the key"):
            verify(signed, public_key=tmp_path / "none")

    def test_none_of_the_bundles_code_is_run(self, bundle: Path, keys: tuple[Path, Path]) -> None:
        marks = bundle.parent / "marks"
        marks.mkdir()
        for name in ("example.py", "numpy.py", "sitecustomize.py", "onnxruntime.py", "json.py"):
            (bundle / name).write_text(f"open({str(marks / name)!r}, 'w')\n")
        relist(bundle, *(path.name for path in bundle.glob("*.py")))
        Signer(keys[0]).sign(bundle, "b")
        command = [sys.executable, "-P", "-m", "quantkit", "verify", ".", "--public-key", keys[1]]
        done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "signed with the key of" in done.stdout
        assert list(marks.iterdir()) == []


class TestLibrary:
    def test_no_connection_is_opened(
        self, bundle: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("a connection was opened")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        Signer(keys[0]).sign(bundle, "b")
        assert found(bundle, keys[1]) == []

    @pytest.mark.slow
    def test_the_librarys_own_program_takes_our_signatures_and_we_take_its(
        self, signed: Path, keys: tuple[Path, Path]
    ) -> None:
        def run(command: str, *options: Path | str) -> None:
            program = [sys.executable, "-m", "model_signing", command, "key", str(signed)]
            done = subprocess.run(
                [*program, "--signature", signed / SIGNATURE, *options],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr

        run("verify", "--public_key", keys[1])
        before = sha256_of(signed / SIGNATURE)
        run("sign", "--private_key", keys[0])
        assert sha256_of(signed / SIGNATURE) != before
        assert found(signed, keys[1]) == []

    def test_without_it_a_line_says_how_to_install_it(
        self, bundle: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "model_signing", None)
        with pytest.raises(MissingDependencyError, match=r"pip install 'quantkit\[sign\]'"):
            verify(bundle, public_key=keys[1])
        assert verify(bundle).findings == ()
