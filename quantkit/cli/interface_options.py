"""Whether a result takes the place of the model that it was made of."""

from __future__ import annotations

import click

#: For the commands that write a quantized model, or foretell its size.
keep_interface_option = click.option(
    "--keep-interface/--no-keep-interface",
    default=None,
    help="Give the file the inputs, outputs and metadata of the .onnx that MODEL was exported "
    "from, so that it takes its place.  [default: as the plan says, or where it was exported from "
    "an .onnx]",
)
