"""``quantkit verify``: is a bundle what was shipped, or an artifact what was written?"""

from __future__ import annotations

from pathlib import Path

import click

from quantkit.api.verify import VerifyResult, verify
from quantkit.bundles.manifest import MANIFEST
from quantkit.cli.framework import Argument, Command, echo
from quantkit.cli.streams import echo_json


@click.command(name="verify", cls=Command)
@click.argument(
    "path",
    cls=Argument,
    type=click.Path(path_type=Path),
    help="Folder of a bundle, or an .onnx or a published folder of quantkit.",
)
@click.option(
    "--manifest-sha256",
    metavar="HEX",
    help="SHA-256 that `ship` printed: also proves that a bundle's manifest is unchanged.",
)
@click.option(
    "--public-key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="KEY",
    help="Public key (PEM) of whom the bundle must be signed by.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    path: Path, manifest_sha256: str | None, public_key: Path | None, as_json: bool
) -> None:
    """Compare every file of a bundle with its manifest, or an .onnx with the checksum that it
    carries, then run the model.

    Exit code 1 when a file is changed, missing, extra or a link, the bundle is not signed with the
    key that is asked for, or the model does not run; 2 when there is no proper manifest, checksum
    or key, or the manifest names a path outside the bundle.

    \b
    Example:
      quantkit verify bundle
      quantkit verify bundle --public-key key.pub
      quantkit verify static-int8.onnx --json
    """
    result = verify(path, manifest_sha256=manifest_sha256, public_key=public_key)
    if as_json:
        echo_json(result.to_dict())
    elif result.is_bundle:
        for finding in result.findings:
            echo(f"{finding.problem:<10}  {finding.path}: {finding.detail}")
    result.require()
    if as_json or result.runtime is None:
        return
    kept = f"{result.files} files as shipped" if result.is_bundle else "checksum holds"
    # Without labels or a front end nobody can tell whether what it gives is right.
    does = "loads (it says too little of itself to be run)" if _only_loaded(result) else "runs"
    echo(f"{path}: {kept}; the model {does} in ONNX Runtime {result.runtime['onnxruntime']}")
    if result.hosts is not None and result.hosts.layers:
        echo(f"  {result.hosts.summary()}")
    if result.is_bundle:
        echo(f"SHA-256 of {MANIFEST}: {result.sha256}")
    if result.signature == "verified":
        echo(f"signed with the key of {public_key}")
    elif result.signature:
        echo("signed; --public-key checks by whom")


def _only_loaded(result: VerifyResult) -> bool:
    return result.runtime is not None and result.runtime["rtf"] is None
