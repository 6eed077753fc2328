"""Is a bundle what was shipped, or an artifact what was written?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quantkit.api.inputs import PathLike, optional_path, own_folder, path_of
from quantkit.bundles.findings import Finding
from quantkit.bundles.verify import Verification
from quantkit.bundles.verify import verify as verify_bundle
from quantkit.bundles.verify_artifact import ArtifactVerification, verify_artifact
from quantkit.errors import InputError
from quantkit.runtime.hosts import Hosts


@dataclass(frozen=True)
class VerifyResult:
    """What :func:`verify` found.

    Args:
        path: that was checked.
        files: how many.
        findings: what is wrong; empty when all is as it was.
        sha256: of a bundle's manifest; of an artifact the checksum that it carries, empty where it
            does not hold.
        is_bundle: whether a folder was checked.
        runtime: versions and times of the run here; None when something was found.
        hosts: on which processors the integer sums of the model are exact, whatever this one is;
            None when something was found, or a bundle does not say it.
        signature: of a bundle: ``verified``; ``unchecked`` without a public key; empty without a
            signature.
    """

    path: Path
    files: int
    findings: tuple[Finding, ...]
    sha256: str
    is_bundle: bool
    runtime: dict[str, Any] | None
    hosts: Hosts | None = None
    signature: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def require(self) -> None:
        """Do nothing when nothing was found.

        Raises:
            VerificationError: the first findings in one line.
        """
        if self.is_bundle:
            found = Verification(self.files, self.findings, self.sha256, self.runtime)
            found.require(self.path)
        elif self.findings:
            ArtifactVerification("", self.findings[0].detail).require()

    def to_dict(self) -> dict[str, Any]:
        """For programs: ``quantkit verify --json``."""
        checksum = "manifest_sha256" if self.is_bundle else "checksum"
        return {
            "schema": "quantkit.verify/1",
            "ok": self.ok,
            "files": self.files,
            checksum: self.sha256,
            "findings": self.rows(),
            "runtime": self.runtime,
            "signature": self.signature,
            "hosts": None if self.hosts is None else self.hosts.to_json(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row per finding, for ``pandas.DataFrame``."""
        return [asdict(finding) for finding in self.findings]


def verify(
    path: PathLike, *, manifest_sha256: str | None = None, public_key: PathLike | None = None
) -> VerifyResult:
    """Compare every file of a bundle, or one artifact, with its checksums; then run the model.

    >>> import quantkit
    >>> quantkit.verify("bundle").ok  # doctest: +SKIP
    True

    Args:
        path: a bundle's folder, an ``.onnx``, or a published folder that ``quantize`` or
            ``personalize`` wrote.
        manifest_sha256: what :func:`quantkit.ship` said; also proves that a bundle's manifest is
            unchanged.
        public_key: of whom a bundle must be signed by (PEM); all is then proven to be as they
            signed it, and a bundle that is not signed fails. Nothing is run before that.

    Returns:
        what was found; ``require()`` raises :class:`~quantkit.errors.VerificationError` where it
        is anything.

    Raises:
        BundleError: no proper manifest, or one that names a path outside the bundle.
        ModelError: an ``.onnx`` that cannot be read, or carries no checksum.
        InputError: ``manifest_sha256`` or ``public_key`` for a file, or a file that is no public
            key.
        MissingDependencyError: a ``public_key`` is given, and ``model-signing`` is not installed.
    """
    checked = path_of(path, "the bundle or artifact")
    checked = own_folder(checked) or checked
    key = optional_path(public_key, "the public key")
    if not checked.is_file():
        found = verify_bundle(checked, manifest_sha256=manifest_sha256, public_key=key)
        return VerifyResult(
            checked,
            found.files,
            found.findings,
            found.manifest_sha256,
            True,
            found.runtime,
            None if found.findings else found.hosts,
            found.signature,
        )
    if manifest_sha256 is not None:
        raise InputError(f"the SHA-256 of a manifest is for bundles, and {checked} is a file")
    if key is not None:
        raise InputError(f"signatures are for bundles, and {checked} is a file")
    artifact = verify_artifact(checked)
    problem = artifact.problem
    findings = (Finding("model", checked.name, problem),) if problem else ()
    return VerifyResult(
        checked, 1, findings, artifact.checksum, False, artifact.runtime, artifact.hosts
    )
