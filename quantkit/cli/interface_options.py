"""Whether, and how, a result takes the place of the model that it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from quantkit.api.folders import result_place

#: For the commands that write a quantized model, or foretell its size.
keep_interface_option = click.option(
    "--keep-interface/--no-keep-interface",
    default=None,
    help="Give the file the inputs, outputs and metadata of the .onnx that MODEL was exported "
    "from, so that it takes its place.  [default: as the plan says, or where it was exported from "
    "an .onnx]",
)

suffix_option = click.option(
    "--suffix",
    default="",
    metavar="TEXT",
    help="Of a published folder: what the file names of the new one have before .onnx, such as "
    ".int8.",
)


def folder_files(params: Mapping[str, Any]) -> Sequence[str] | None:
    """What is written into the folder that ``-o`` names; None where it names a file."""
    place = result_place(params["model"], params["output"], params.get("suffix", ""), named=False)
    return None if place.folder is None else [file.name for file in place.files]
