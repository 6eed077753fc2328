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
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(path: Path, manifest_sha256: str | None, as_json: bool) -> None:
    """Compare every file of a bundle with its manifest, or an .onnx with the checksum that it
    carries, then run the model.

    Exit code 1 when a file is changed, missing, extra or a link, or the model does not run; 2 when
    there is no proper manifest or checksum, or the manifest names a path outside the bundle.

    \b
    Example:
      quantkit verify bundle
      quantkit verify static-int8.onnx --json
    """
    result = verify(path, manifest_sha256=manifest_sha256)
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


def _only_loaded(result: VerifyResult) -> bool:
    return result.runtime is not None and result.runtime["rtf"] is None
