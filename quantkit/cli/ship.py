"""``quantkit ship``: an artifact becomes a bundle for an edge team."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from quantkit.api.ship import ship
from quantkit.bundles.manifest import MANIFEST, SIGNATURE
from quantkit.bundles.profiles.catalogue import PROFILE_NAMES
from quantkit.cli.framework import Argument, Command, OutputFolder, begin_work, echo
from quantkit.cli.progress import progress_bar
from quantkit.cli.streams import echo_json

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    name="ship",
    cls=Command,
    first=("bench", "licence", "about", "sign", "profile", "force"),
    dry_run=True,
)
@click.argument(
    "model", cls=Argument, type=click.Path(path_type=Path), help="The .onnx to ship, or a folder."
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=OutputFolder(),
    metavar="FOLDER",
    help="Folder of the bundle.",
)
@click.option(
    "--bench", type=_FILE, metavar="FILE", help="bench.json with figures of MODEL, for the card."
)
@click.option(
    "--licence",
    type=_FILE,
    metavar="FILE",
    help="Its text; or the name that the metadata have. Default: what the metadata say, with "
    "the text of LICENCE beside MODEL if that is the same licence.",
)
@click.option(
    "--about", type=_FILE, metavar="FILE", help="Card of the recogniser (Markdown) to include."
)
@click.option("--name", default="", help="Name for people; default: from the metadata.")
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="PROGRAM",
    help="Also run the model in this Python with its ONNX Runtime; may be repeated.",
)
@click.option("--force", is_flag=True, help="Replace an earlier bundle.")
@click.option(
    "--sign",
    type=_FILE,
    metavar="KEY",
    help="Private key (PEM: P-256, P-384 or P-521) that signs all files; QUANTKIT_KEY_PASSWORD is "
    "the password of an encrypted one.",
)
@click.option(
    "--clip",
    type=_FILE,
    metavar="WAV",
    help="Run the examples on this clip (16 bits), and write their speed and memory on the card; "
    "default: on noise, without figures.",
)
@click.option(
    "--node-modules",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where npm installed onnxruntime-node and onnxruntime-web, to run the examples for "
    "Node and browsers; default: NODE_PATH.",
)
@click.option(
    "--onnxruntime",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="ONNX Runtime for C++ (include and lib, as in its release archives), to compile and run "
    "the example in C++.",
)
@click.option(
    "--profile",
    type=click.Choice(PROFILE_NAMES),
    help="Write a folder that this program loads by itself, with the file names, inputs, outputs "
    "and metadata that it knows; there are no examples then.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def command(
    model: Path,
    output: Path,
    bench: Path | None,
    licence: Path | None,
    about: Path | None,
    name: str,
    pythons: tuple[str, ...],
    force: bool,
    sign: Path | None,
    clip: Path | None,
    node_modules: Path | None,
    onnxruntime: Path | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Make a bundle of MODEL: everything that a team needs to run it in stock ONNX Runtime.

    The front end is put into the model if it is not there yet, so that it takes waveforms. The
    model is run before the bundle appears.

    \b
    Example:
      quantkit ship int8.onnx -o bundle --licence LICENCE --bench report/bench.json
      quantkit ship int8.onnx -o bundle --licence LICENCE --sign key.pem
      python bundle/example.py clip.wav
      quantkit ship int8.onnx -o folder --licence LICENCE --profile sherpa-onnx
    """
    with progress_bar("bundling"):
        made = ship(
            model,
            output,
            bench=bench,
            licence=licence,
            about=about,
            name=name,
            pythons=pythons,
            force=force,
            sign=sign,
            clip=clip,
            node_modules=node_modules,
            onnxruntime=onnxruntime,
            profile=profile,
            begin=begin_work,
        )
    if as_json:
        echo_json(made.to_dict())
        return
    for entry in made.files:
        echo(f"{entry.size:>12,}  {entry.path}")
    versions = ", ".join(str(run["onnxruntime"]) for run in made.tested_on)
    runs = f"for {profile}, opens" if profile else "runs"
    echo(f"{output}: {made.name}, {runs} in ONNX Runtime {versions}")
    for run in made.manifest.examples:
        echo(f"{run['file']}: {_came_of(run)}")
    echo(f"SHA-256 of {MANIFEST}: {made.manifest_sha256}")
    if made.signed:
        echo(f"signed: {SIGNATURE} covers all files")


def _came_of(run: Mapping[str, Any]) -> str:
    if not run["run"]:
        return f"not run, {run['reason']}"
    versions = ", ".join(f"{name} {version}" for name, version in run["runtime"].items())
    return f"ran with {versions}, {'the same' if run['same_text'] else 'another'} text"
