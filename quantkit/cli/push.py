"""``quantkit push``: a bundle or a folder goes to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

import click

from quantkit.api.push import push
from quantkit.cli.framework import Argument, Command, begin_work, echo
from quantkit.cli.hub_options import endpoint_option
from quantkit.cli.progress import progress_bar
from quantkit.cli.streams import echo_json


@click.command(name="push", cls=Command, first=("private", "message"), dry_run=True)
@click.argument(
    "folder",
    cls=Argument,
    type=click.Path(path_type=Path),
    help="A bundle, or a folder of a model.",
)
@click.argument("address", cls=Argument, help="hf://OWNER/NAME, or hf://OWNER/NAME@BRANCH.")
@click.option("--private", is_flag=True, help="Make the repository private, where it is made.")
@click.option("--message", default="", metavar="TEXT", help="Message of the commit.")
@endpoint_option
@click.option("--json", "as_json", is_flag=True, help="Print what was pushed as JSON.")
def command(
    folder: Path, address: str, private: bool, message: str, endpoint: str, as_json: bool
) -> None:
    """Upload FOLDER to a model repository of the Hugging Face hub, in one commit.

    A bundle must be as it was shipped. Repository and branch are made where they are not there. The
    token is that of HF_TOKEN, or of `hf auth login`.

    \b
    Example:
      quantkit push bundle hf://acme/tiny-en
      quantkit push bundle hf://acme/tiny-en@v2 --private
    """
    with progress_bar("pushing"):
        made = push(
            folder, address, endpoint=endpoint, private=private, message=message, begin=begin_work
        )
    if as_json:
        echo_json(made.to_dict())
        return
    what = f"{len(made.files)} files" if made.pushed.changed else "nothing has changed"
    echo(f"{made.address}: {what}, commit {made.commit}")
    echo(made.pushed.url)
