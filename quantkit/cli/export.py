"""``quantkit export``: a PyTorch checkpoint becomes a float32 artifact."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from quantkit.errors import MissingDependencyError
from quantkit.graph.artifact import total_size


@click.command(name="export")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The .onnx to write.",
)
@click.option(
    "--with-frontend",
    is_flag=True,
    help="Take waveforms: put the log-mel front end in front of the model as ONNX operators.",
)
@click.option(
    "--opset",
    type=click.IntRange(18, 23),
    default=18,
    show_default=True,
    help="ONNX operator set; 18 loads in ONNX Runtime 1.15 and later.",
)
@click.option("--name", default="", help="Model name in the metadata; default: the checkpoint's.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    checkpoint: Path, output: Path, with_frontend: bool, opset: int, name: str, as_json: bool
) -> None:
    """Export CHECKPOINT (a folder, or a .pt or .safetensors file beside its config.json).

    The file is written only after ONNX Runtime has given PyTorch's numbers on batches of several
    sizes and lengths.

    \b
    Example:
      quantkit export models/wav2letter-en -o build/wav2letter-en/float32.onnx
      quantkit export models/wav2letter-en -o waveform.onnx --with-frontend
    """
    try:
        from quantkit.export.to_onnx import export_checkpoint
    except ImportError as error:
        raise MissingDependencyError(
            f"export needs {error.name}, which is not installed: pip install 'quantkit[export]'"
        ) from error
    report = export_checkpoint(
        checkpoint, output, with_frontend=with_frontend, opset=opset, name=name
    )
    size = total_size(output)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "path": str(output),
                    "size_bytes": size,
                    "opset": opset,
                    "with_frontend": with_frontend,
                    "parity": {
                        "tolerance": report.tolerance,
                        "worst": asdict(report.worst),
                        "cases": len(report.cases),
                    },
                },
                indent=2,
            )
        )
        return
    click.echo(
        f"{output}: {size / 1e6:.1f} MB, opset {opset}; ONNX Runtime agrees with PyTorch to "
        f"{report.worst.difference:.1e} in {len(report.cases)} batches"
    )
