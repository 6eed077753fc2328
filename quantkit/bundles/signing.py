"""Signatures over all files of a bundle, in the format of OpenSSF Model Signing.

``model.sig`` is a Sigstore bundle: an in-toto statement with the SHA-256 of every other file,
signed with a key of one's own (ECDSA on P-256, P-384 or P-521). Whoever has the public key can
check it with quantkit, or with the ``model_signing`` program that wrote the format. Keys are files;
nothing here opens a connection.

https://github.com/ossf/model-signing-spec
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from quantkit.bundles.findings import Finding
from quantkit.bundles.manifest import KEPT, SIGNATURE
from quantkit.disk.files import sha256_of
from quantkit.disk.reading import read_bytes
from quantkit.errors import InputError, MissingDependencyError

#: Environment variable with the password of an encrypted private key.
PASSWORD = "QUANTKIT_KEY_PASSWORD"

_LONGEST_KEY = 100_000
# A signature takes 300 bytes for each file; a much larger one is an attack on the parser.
_LONGEST_SIGNATURE = 4_000_000
_WANTED = "an ECDSA key on P-256, P-384 or P-521, in PEM"


class Signer:
    """Signs bundles with one private key, which is read and checked at once.

    Args:
        key: file of the private key, in PEM; where it is encrypted, the environment variable
            ``QUANTKIT_KEY_PASSWORD`` has its password.

    Raises:
        InputError: the file cannot be read, is no such key, or the password is missing or wrong.
        MissingDependencyError: ``model-signing`` is not installed.
    """

    def __init__(self, key: Path) -> None:
        content = _key_bytes(key)
        encrypted = b"ENCRYPTED" in content
        password = os.environ.get(PASSWORD) if encrypted else None
        if encrypted and not password:
            raise InputError(f"{key} is encrypted: let {PASSWORD} hold its password")
        self._config = _library("signing").Config()
        try:
            self._config.use_elliptic_key_signer(
                private_key=key,
                # Declared as text, and handed to a function that takes bytes.
                password=password.encode() if password else None,
            )
        except Exception as error:
            reason = "its password is not that of " + PASSWORD if encrypted else f"not {_WANTED}"
            raise InputError(f"{key} cannot sign: {reason}") from error

    def sign(self, folder: Path, name: str) -> None:
        """Write ``model.sig`` over every other file of ``folder``.

        Args:
            name: of the bundle in the signature; nothing depends on it.
        """
        self._config.set_hashing_config(_hashing(folder, name))
        self._config.sign(folder, folder / SIGNATURE)


class SignatureCheck:
    """Checks the signatures of bundles with one public key, which is read and checked at once.

    Args:
        key: file of the public key, in PEM.

    Raises:
        InputError: the file cannot be read, or is no such key.
        MissingDependencyError: ``model-signing`` is not installed.
    """

    def __init__(self, key: Path) -> None:
        content = _key_bytes(key)
        self.key = key
        self._config = _library("verifying").Config()
        try:
            self._config.use_elliptic_key_verifier(public_key=key)
        except Exception as error:
            private = b"PRIVATE KEY" in content
            what = "it is a private key; give the public one" if private else f"not {_WANTED}"
            raise InputError(f"{key} is no public key: {what}") from error

    def findings(self, folder: Path) -> list[Finding]:
        """What speaks against ``folder`` being what the key's owner has signed.

        Args:
            folder: a bundle in which each thing is a regular file or a folder.
        """
        path = folder / SIGNATURE
        if not path.is_file():
            return [Finding("signature", SIGNATURE, "is missing: the bundle is not signed")]
        kept = sorted(each.name for each in folder.iterdir() if each.name.startswith(KEPT))
        if kept:
            what = "was kept by example.py, and no signature covers it; delete it"
            return [Finding("extra", name, what) for name in kept]
        try:
            content = json.loads(read_bytes(path, _LONGEST_SIGNATURE))
        except (OSError, ValueError, RecursionError) as error:
            return [_invalid(error)]
        try:
            self._config.set_hashing_config(_hashing(folder, ""))
            # It warns of signatures of before on the standard output, which may be JSON.
            with contextlib.redirect_stdout(sys.stderr):
                self._config.verify(folder, path)
        except Exception as error:
            # A signature may be anybody's, and the library lets through what its parsers raise.
            if _is_of_another_key(error):
                detail = f"was not made with the key of {self.key}"
                return [Finding("signature", SIGNATURE, detail)]
            genuine = str(error).startswith("Signature mismatch")
            return (list(_differences(folder, content)) if genuine else []) or [_invalid(error)]
        return []


def _is_of_another_key(error: Exception) -> bool:
    return str(error).startswith("Key mismatch") or type(error).__name__ == "InvalidSignature"


def _invalid(error: Exception) -> Finding:
    reason = " ".join(str(error).split()) or type(error).__name__
    return Finding("signature", SIGNATURE, f"is no valid signature ({reason[:200]})")


def _differences(folder: Path, signature: Any) -> list[Finding]:
    """Files that are not as a genuine signature has them."""
    signed = _resources(signature)
    paths = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    del paths[SIGNATURE]
    found = [
        Finding("missing", name, "is missing, and was signed")
        for name in signed.keys() - paths.keys()
    ]
    found += [Finding("extra", name, "was not signed") for name in paths.keys() - signed.keys()]
    found += [
        Finding("changed", name, "differs from what was signed")
        for name, path in paths.items()
        if name in signed and sha256_of(path) != signed[name]
    ]
    return sorted(found, key=lambda finding: finding.path)


def _resources(content: Any) -> dict[str, str]:
    """SHA-256 by name, as a signature has them; empty where it is damaged."""
    try:
        statement = json.loads(base64.b64decode(content["dsseEnvelope"]["payload"]))
        rows = statement["predicate"]["resources"]
        return {str(row["name"]): str(row["digest"]) for row in rows}
    except (KeyError, TypeError, ValueError):
        return {}


def _hashing(folder: Path, name: str) -> Any:
    """Every file of ``folder`` but the signature, by SHA-256; links are refused."""
    from model_signing import hashing, manifest

    class Named(hashing.Config):
        """Calls the model by its name, and not by that of the folder it is made in."""

        def hash(self, model_path: Any, *, files_to_hash: Any = None) -> manifest.Manifest:
            found = super().hash(model_path, files_to_hash=files_to_hash)
            if not name:
                return found
            kind = manifest.SerializationType.from_args(found.serialization_type)
            rows = found.resource_descriptors()
            items = [kind.new_item(row.identifier, row.digest) for row in rows]
            return manifest.Manifest(name, items, kind)

    config: hashing.Config = Named()  # type: ignore[no-untyped-call]
    # What git ignores and what it keeps is a file of the bundle like others.
    return config.set_ignored_paths(paths=[folder / SIGNATURE], ignore_git_paths=False)


def _key_bytes(key: Path) -> bytes:
    try:
        return read_bytes(key, _LONGEST_KEY)
    except OSError as error:
        raise InputError(f"cannot read the key {key}: {error.strerror or error}") from error


def _library(module: str) -> Any:
    try:
        import model_signing.signing
        import model_signing.verifying
    except ImportError as error:
        raise MissingDependencyError(
            "signatures need model-signing: pip install 'quantkit[sign]'"
        ) from error
    return getattr(model_signing, module)
