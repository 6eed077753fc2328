"""Bundles: ``verify`` passes what was shipped, and nothing else."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
from pathlib import Path

# Here, and not in a case: urllib3, which it imports, binds a socket of this machine to find out
# whether there is IPv6.
import model_signing.verifying  # noqa: F401
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.fuzz.case import Answer, Case, Refused, WrongResult, attempt, command
from benchmarks.fuzz.damage import damaged
from benchmarks.fuzz.json_damage import changed_json, same_json
from benchmarks.fuzz.models import write_models
from quantkit.bundles.manifest import read_manifest, write_manifest


class Bundles:
    """Files that are removed, swapped, altered, linked or added, and changed manifests."""

    name, share = "bundles", 70
    #: Its folder among the seeds.
    seed = "bundle"

    def prepare(self, seeds: Path) -> None:
        if (seeds / "bundle").exists():
            return
        if not (seeds / "model.onnx").exists():
            write_models(seeds)
        (seeds / "LICENCE.txt").write_text("CC0-1.0: do as you like.\n")
        command(
            *("ship", seeds / "model.onnx", "--licence", seeds / "LICENCE.txt"),
            *("-o", seeds / "bundle"),
            may_fail=False,
        )

    def run(self, case: Case) -> Answer:
        bundle = case.folder / "bundle"
        shutil.copytree(case.seeds / "bundle", bundle)
        is_same = self._change(case, bundle)
        try:
            command("verify", bundle)
        except Refused as refusal:
            if is_same:
                raise WrongResult(f"nothing was changed, and it is refused: {refusal}") from None
            raise
        if is_same is False:
            raise WrongResult("changed, and verified")
        return "right"

    def _change(self, case: Case, bundle: Path) -> bool | None:
        """Change the bundle; returns whether it is still as it was, or None: nobody can tell."""
        random = case.random
        files = sorted(path for path in bundle.rglob("*") if path.is_file())
        file, other = random.sample(files, 2)
        before = file.read_bytes()
        manifest = bundle / "manifest.json"
        way = random.randrange(13)
        if way == 0:
            file.unlink()
        elif way == 1:
            file.rename(bundle / "aside")
            other.rename(file)
            (bundle / "aside").rename(other)
        elif way == 2:
            target = case.folder / "aside"
            file.rename(target)
            file.symlink_to(random.choice((target, other, file, Path("/etc/passwd"))))
        elif way == 3:
            file.unlink()
            os.link(other, file)
            return before == file.read_bytes()
        elif way == 4:
            (bundle / random.choice(("extra", ".hidden", "é", "model.onnx.data"))).write_bytes(b"x")
        elif way == 5:
            file.unlink()
            random.choice((file.mkdir, lambda: os.mkfifo(file)))()
        elif way == 6:
            (bundle / "folder").mkdir()
        elif way == 7:
            file.rename(bundle / file.name.upper())
            return file.name == file.name.upper()
        elif way in (8, 9):
            manifest.write_bytes(changed_json(manifest.read_text(), random))
            return _lists_the_same(case.seeds / self.seed, manifest)
        elif way == 10:
            manifest.write_bytes(same_json(manifest.read_text(), random))
            return True
        else:
            file.write_bytes(damaged(before, random))
            if file == manifest:
                return _lists_the_same(case.seeds / self.seed, manifest)
            return file.read_bytes() == before
        return False


class SignedBundles(Bundles):
    """The same of a signed bundle: whatever is changed beside the signature is refused."""

    name, share = "signed-bundles", 30
    seed = "signed"

    def prepare(self, seeds: Path) -> None:
        if not (seeds / "model.onnx").exists():
            write_models(seeds)
        (seeds / "LICENCE.txt").write_text("CC0-1.0: do as you like.\n")
        key = ec.generate_private_key(ec.SECP256R1())
        pem = serialization.Encoding.PEM
        (seeds / "key.pem").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        (seeds / "key.pub").write_bytes(
            key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        command(
            *("ship", seeds / "model.onnx", "--licence", seeds / "LICENCE.txt"),
            *("--sign", seeds / "key.pem", "-o", seeds / "signed"),
            may_fail=False,
        )

    def run(self, case: Case) -> Answer:
        bundle = case.folder / "bundle"
        shutil.copytree(case.seeds / "signed", bundle)
        if case.random.random() < 0.4:
            signature = bundle / "model.sig"
            before = signature.read_bytes()
            change = case.random.choice((changed_json, same_json))
            signature.write_bytes(
                damaged(before, case.random)
                if case.random.random() < 0.5
                else change(before.decode(), case.random)
            )
        else:
            self._change(case, bundle)
        others = _contents(bundle) == _contents(case.seeds / "signed")
        try:
            command("verify", bundle, "--public-key", case.seeds / "key.pub")
        except Refused as refusal:
            signatures = (bundle / "model.sig", case.seeds / "signed" / "model.sig")
            there = signatures[0].is_file() and not signatures[0].is_symlink()
            if others and there and filecmp.cmp(*signatures, shallow=False):
                raise WrongResult(f"nothing was changed, and it is refused: {refusal}") from None
            raise
        if not others:
            raise WrongResult("changed, and verified")
        return "right"


class BundleExamples(Bundles):
    """What a manifest says of the examples: it is read as it is written, or refused."""

    name, share = "bundle-examples", 30

    def run(self, case: Case) -> Answer:
        bundle = case.folder / "bundle"
        shutil.copytree(case.seeds / "bundle", bundle)
        path = bundle / "manifest.json"
        manifest = json.loads(path.read_bytes())
        said = manifest.get("examples") or _EXAMPLES
        changed = changed_json(json.dumps({"examples": said}), case.random)
        try:
            # A key may have become another one, or stand beside others.
            manifest.update(json.loads(changed))
        except (ValueError, TypeError, RecursionError):
            path.write_bytes(_with_examples(manifest, changed))
        else:
            spelled = json.dumps(manifest, ensure_ascii=False)
            path.write_bytes(spelled.encode("utf-8", "surrogatepass"))
        found = attempt(lambda: read_manifest(bundle))
        again = case.folder / "again"
        again.mkdir()
        attempt(lambda: write_manifest(found, again))
        read = json.loads(path.read_bytes()).get("examples", [])
        kept = json.loads((again / "manifest.json").read_bytes()).get("examples", [])
        if [*found.examples] != read or kept != read:
            raise WrongResult(f"the manifest says {read}, and it is read as {found.examples}")
        command("verify", bundle)
        return "right"


#: As manifests list them, for a bundle in whose place there is no other program.
_EXAMPLES = [
    {"file": "example.py", "ran": True, "runtime": "Python 3.12"},
    {"file": "example.mjs", "ran": False, "reason": "node is not installed"},
]


def _with_examples(manifest: dict[str, object], examples: bytes) -> bytes:
    """The manifest with text for its examples that is no JSON."""
    manifest.pop("examples", None)
    return json.dumps(manifest).encode().rstrip(b"}") + b', "examples": ' + examples + b"}"


def _contents(bundle: Path) -> dict[str, bytes | None]:
    """What lies in a bundle beside its signature; None for what is no regular file."""
    return {
        path.relative_to(bundle).as_posix(): (
            path.read_bytes() if path.is_file() and not path.is_symlink() else None
        )
        for path in bundle.rglob("*")
        if path.name != "model.sig"
    }


def _lists_the_same(shipped: Path, manifest: Path) -> bool | None:
    """Whether a changed manifest must be refused, or may be: it lists the same files.

    What else it says is for people, and only its own checksum shows that it was changed.
    """
    try:
        found = json.loads(manifest.read_bytes())
        original = json.loads((shipped / "manifest.json").read_bytes())
        rows = [sorted(row.items()) for row in found["files"]]
        expected = [[row[key] for key in ("bytes", "path", "sha256")] for row in original["files"]]
        listed = [[dict(row)[key] for key in ("bytes", "path", "sha256")] for row in rows]
        same = found["schema"] == original["schema"] and sorted(listed) == sorted(expected)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    return None if same else False
