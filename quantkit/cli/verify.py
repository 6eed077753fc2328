"""``quantkit verify``: is a bundle what was shipped?"""

from __future__ import annotations

import json
from pathlib import Path

import click

from quantkit.ship.manifest import MANIFEST
from quantkit.ship.verify import verify


@click.command(name="verify")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--manifest-sha256",
    metavar="HEX",
    help="SHA-256 that `ship` printed: also proves that the manifest itself is unchanged.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(bundle: Path, manifest_sha256: str | None, as_json: bool) -> None:
    """Compare every file of BUNDLE with its manifest, then run the model.

    Exit code 1 when a file is changed, missing, extra or a link, or the model does not run; 2 when
    there is no proper manifest or it names a path outside the bundle.

    \b
    Example:
      quantkit verify bundle
      quantkit verify bundle --json
    """
    result = verify(bundle, manifest_sha256=manifest_sha256)
    if as_json:
        content = {
            "schema": "quantkit.verify/1",
            "ok": not result.findings,
            "files": result.files,
            "manifest_sha256": result.manifest_sha256,
            "findings": [vars(finding) for finding in result.findings],
            "runtime": result.runtime,
        }
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        for finding in result.findings:
            click.echo(f"{finding.problem:<10}  {finding.path}: {finding.detail}")
    result.require(bundle)
    if not as_json and result.runtime is not None:
        click.echo(
            f"{bundle}: {result.files} files as shipped; the model runs in ONNX Runtime "
            f"{result.runtime['onnxruntime']}"
        )
        click.echo(f"SHA-256 of {MANIFEST}: {result.manifest_sha256}")
