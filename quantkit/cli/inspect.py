"""``quantkit inspect``: what lies in a model file, layer by layer."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from quantkit.quantization.inspection import InspectedLayer, Inspection, inspect_model


@click.command(name="inspect")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--runtime",
    is_flag=True,
    help="Load the model in ONNX Runtime and show the kernel that each layer really runs on.",
)
def command(model: Path, as_json: bool, runtime: bool) -> None:
    """Show operator, shape, codec, bits, compute and bytes of each layer of MODEL.

    Bytes are those in the file: weight, scales, tables, zero points and bias; `stored` is the same
    in bits per weight. A file that does not match
    its checksum is refused with exit code 2.

    \b
    Example:
      quantkit inspect build/wav2letter-en/static-int8.onnx
      quantkit inspect model.onnx --runtime --json
    """
    inspection = inspect_model(model, runtime=runtime)
    if as_json:
        click.echo(json.dumps(inspection.to_json(), indent=2))
        return
    console = Console()
    if not console.is_terminal:
        # A narrow default width would cut the names that a file or a pager has room for.
        console = Console(width=140)
    console.print(_table(inspection, runtime))
    method = f" ({inspection.method})" if inspection.method else ""
    checksum = "checksum holds" if inspection.checksum else "no checksum: not quantkit's file"
    console.print(
        f"{inspection.path}{method}: {len(inspection.layers)} layers take "
        f"{inspection.layer_bytes:,} bytes, graph and metadata {inspection.other_bytes:,}; "
        f"on disk {inspection.size_bytes:,} bytes = {inspection.size_bytes / 1e6:.1f} MB; "
        f"{checksum}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )


def _table(inspection: Inspection, runtime: bool) -> Table:
    table = Table()
    for title in ("layer", "operator", "shape", "codec"):
        table.add_column(title)
    table.add_column("bits", justify="right")
    table.add_column("stored", justify="right")
    table.add_column("compute")
    table.add_column("bytes", justify="right")
    if runtime:
        table.add_column("kernel")
        table.add_column("runs as")
        table.add_column("decoder")
    for layer in inspection.layers:
        cells = [
            layer.name,
            layer.op,
            " × ".join(map(str, layer.shape)),
            layer.codec,
            f"{layer.bits:g}",
            f"{layer.stored_bits:.2f}",
            layer.compute,
            f"{layer.bytes:,}",
        ]
        table.add_row(*cells, *(_runtime_cells(layer) if runtime else []))
    return table


def _runtime_cells(layer: InspectedLayer) -> list[str]:
    folded = {True: "folded", False: "in every run", None: ""}[layer.folded]
    return [layer.kernel, layer.status, folded]
