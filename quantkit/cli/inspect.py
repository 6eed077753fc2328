"""``quantkit inspect``: what lies in a model file, layer by layer."""

from __future__ import annotations

from pathlib import Path

import click

from quantkit.api.inspect import inspect
from quantkit.cli.framework import Argument, Command, echo
from quantkit.cli.streams import echo_json
from quantkit.quantization.inspection import InspectedLayer, Inspection
from quantkit.report.terminal import Column, print_table


@click.command(name="inspect", cls=Command)
@click.argument("model", cls=Argument, type=click.Path(path_type=Path), help="Any .onnx.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--runtime",
    is_flag=True,
    help="Load the model in ONNX Runtime and show the kernel that each layer really runs on.",
)
def command(model: Path, as_json: bool, runtime: bool) -> None:
    """Show operator, shape, codec, bits, compute and bytes of each layer of MODEL.

    Bytes are those in the file: weight, scales, tables, zero points and bias; `stored` is the same
    in bits per weight. A line foretells the memory that opening the file in ONNX Runtime takes,
    beyond that of the libraries. The last line says on which processors the integer sums are exact.
    A file that does not match its checksum is refused with exit code 2.

    \b
    Example:
      quantkit inspect build/wav2letter-en/static-int8.onnx
      quantkit inspect model.onnx --runtime --json
    """
    inspection = inspect(model, runtime=runtime)
    if as_json:
        echo_json(inspection.to_dict())
        return
    _print_layers(inspection, runtime)
    method = f" ({inspection.method})" if inspection.method else ""
    checksum = "checksum holds" if inspection.checksum else "no checksum: not quantkit's file"
    echo(
        f"{inspection.path}{method}: {len(inspection.layers)} layers take "
        f"{inspection.layer_bytes:,} bytes, graph and metadata {inspection.other_bytes:,}; "
        f"on disk {inspection.size_bytes:,} bytes = {inspection.size_bytes / 1e6:.1f} MB; "
        f"{checksum}"
    )
    peak, left = inspection.load.peak_bytes / 1e6, inspection.load.resident_bytes / 1e6
    echo(
        f"  opening it takes about {peak:,.0f} MB of memory at most, and {left:,.0f} MB afterwards"
    )
    if inspection.chunk_seconds:
        echo(
            f"  hears in chunks of {1000 * inspection.chunk_seconds:.0f} ms, with a look-ahead of "
            f"{1000 * inspection.look_ahead_seconds:.0f} ms"
        )
    if inspection.unpacked_from:
        echo(f"  unpacked from the file of checksum {inspection.unpacked_from}")
    if inspection.provenance is not None and inspection.provenance.clips:
        echo(f"  made with {inspection.provenance.audio_in_words}")
    for line in inspection.structure_in_words:
        echo(f"  {line}")
    if inspection.hosts is not None and inspection.hosts.layers:
        made_for = f"--target-cpu {inspection.target_cpu}: " if inspection.target_cpu else ""
        echo(f"  {made_for}{inspection.hosts.summary()}")


def _print_layers(inspection: Inspection, runtime: bool) -> None:
    # With --runtime, the kernels are the requested column.
    columns = [
        Column("layer"),
        Column("operator", importance=2),
        Column("shape", importance=1),
        Column("codec", importance=6),
        Column("bits", "right"),
        Column("stored", "right", importance=3),
        Column("compute", importance=7),
        Column("bytes", "right", importance=5),
    ]
    if runtime:
        columns += [
            Column("kernel", importance=8),
            Column("runs as", importance=9),
            Column("decoder", importance=4),
        ]
    rows = []
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
        rows.append([*cells, *(_runtime_cells(layer) if runtime else [])])
    print_table(columns, rows)


def _runtime_cells(layer: InspectedLayer) -> list[str]:
    folded = {True: "folded", False: "in every run", None: ""}[layer.folded]
    return [layer.kernel, layer.status, folded]
