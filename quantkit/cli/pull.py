"""``quantkit pull``: a bundle or a folder comes from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

import click

from quantkit.api.pull import pull
from quantkit.cli.framework import Argument, Command, OutputFolder, begin_work, echo
from quantkit.cli.hub_options import endpoint_option
from quantkit.cli.progress import progress_bar
from quantkit.cli.streams import echo_json


@click.command(name="pull", cls=Command, first=("public_key", "force"), dry_run=True)
@click.argument("address", cls=Argument, help="hf://OWNER/NAME, or hf://OWNER/NAME@REVISION.")
@click.option(
    "-o", "--output", required=True, type=OutputFolder(), metavar="FOLDER", help="Folder to make."
)
@click.option(
    "--public-key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="KEY",
    help="Public key (PEM) of whom the bundle must be signed by.",
)
@click.option("--force", is_flag=True, help="Replace an earlier bundle.")
@endpoint_option
@click.option("--json", "as_json", is_flag=True, help="Print what was pulled as JSON.")
def command(
    address: str,
    output: Path,
    public_key: Path | None,
    force: bool,
    endpoint: str,
    as_json: bool,
) -> None:
    """Download a bundle, or a folder of a model, from the Hugging Face hub.

    Every file is compared with the bundle's manifest, and with its signature where a key is given,
    before FOLDER appears; nothing is run. Exit code 1 when something is not as it was shipped or
    signed.

    \b
    Example:
      quantkit pull hf://acme/tiny-en -o bundle
      quantkit pull hf://acme/tiny-en@v2 -o bundle --public-key key.pub
    """
    with progress_bar("pulling") as progress:
        made = pull(
            address,
            output,
            endpoint=endpoint,
            public_key=public_key,
            force=force,
            begin=begin_work,
            progress=progress,
        )
    if as_json:
        echo_json(made.to_dict())
        return
    kept = "as shipped" if made.pulled.is_bundle else "pulled"
    echo(f"{output}: {len(made.files)} files {kept}, commit {made.commit}")
    if made.pulled.signature == "verified":
        echo(f"signed with the key of {public_key}")
    elif made.pulled.signature:
        echo("signed; --public-key checks by whom")
