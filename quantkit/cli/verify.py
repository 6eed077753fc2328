"""``quantkit verify``: is a bundle what was shipped, or an artifact what was written?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from quantkit.bundles.manifest import MANIFEST
from quantkit.bundles.verify import verify
from quantkit.bundles.verify_artifact import verify_artifact
from quantkit.cli.framework import Argument, Command


@click.command(name="verify", cls=Command)
@click.argument(
    "path",
    cls=Argument,
    type=click.Path(path_type=Path),
    help="Folder of a bundle, or an .onnx of quantkit.",
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
    if path.is_file():
        if manifest_sha256 is not None:
            raise click.UsageError(f"--manifest-sha256 is for bundles, and {path} is a file")
        _verify_artifact(path, as_json)
    else:
        _verify_bundle(path, manifest_sha256, as_json)


def _verify_artifact(path: Path, as_json: bool) -> None:
    result = verify_artifact(path)
    if as_json:
        finding = {"problem": "model", "path": path.name, "detail": result.problem}
        _print_json(
            ok=not result.problem,
            files=1,
            checksum=result.checksum,
            findings=[finding] if result.problem else [],
            runtime=result.runtime,
        )
    result.require()
    if not as_json and result.runtime is not None:
        click.echo(
            f"{path}: checksum holds; the model runs in ONNX Runtime "
            f"{result.runtime['onnxruntime']}"
        )


def _verify_bundle(path: Path, manifest_sha256: str | None, as_json: bool) -> None:
    result = verify(path, manifest_sha256=manifest_sha256)
    if as_json:
        _print_json(
            ok=not result.findings,
            files=result.files,
            manifest_sha256=result.manifest_sha256,
            findings=[vars(finding) for finding in result.findings],
            runtime=result.runtime,
        )
    else:
        for finding in result.findings:
            click.echo(f"{finding.problem:<10}  {finding.path}: {finding.detail}")
    result.require(path)
    if not as_json and result.runtime is not None:
        click.echo(
            f"{path}: {result.files} files as shipped; the model runs in ONNX Runtime "
            f"{result.runtime['onnxruntime']}"
        )
        click.echo(f"SHA-256 of {MANIFEST}: {result.manifest_sha256}")


def _print_json(**fields: Any) -> None:
    content = {"schema": "quantkit.verify/1", **fields}
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))
