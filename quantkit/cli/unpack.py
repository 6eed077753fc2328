"""``quantkit unpack``: a packed artifact becomes one that loads like plain int8."""

from __future__ import annotations

from pathlib import Path

import click

from quantkit.api.unpack import unpack
from quantkit.cli.framework import Argument, Command, OutputFile, begin_work, echo
from quantkit.cli.interface_options import folder_files
from quantkit.cli.progress import progress_bar
from quantkit.cli.streams import echo_json


@click.command(name="unpack", cls=Command, dry_run=True)
@click.argument(
    "model",
    cls=Argument,
    type=click.Path(path_type=Path),
    help="An .onnx of quantkit with packed weights, or a folder that it wrote.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=OutputFile(".onnx", files_in_folder=folder_files),
    metavar="FILE",
    help="The .onnx to write, of a folder another one; weights lie beside it in FILE.data.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def command(model: Path, output: Path, as_json: bool) -> None:
    """Unpack the weights of MODEL once, so that it loads as fast and small as plain int8.

    A packed file is unpacked whenever it is opened, which takes time and several times the memory.
    Do it once on the device instead, and open the result: outputs are the same bit for bit. It
    takes as much disk as plain int8. Memory holds one weight at a time.

    \b
    Example:
      quantkit unpack user.onnx -o user.unpacked.onnx
    """
    with progress_bar("unpacking"):
        made = unpack(model, output, begin=begin_work)
    if as_json:
        echo_json(made.to_dict())
        return
    echo(
        f"{output}: {made.tensors} tensors unpacked, {made.size_bytes / 1e6:.1f} MB; "
        f"packed: {made.source_bytes / 1e6:.1f} MB"
    )
