"""Options of the commands that ask a hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

endpoint_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--endpoint",
    default="",
    metavar="URL",
    help="Address of the hub; default: HF_ENDPOINT, or huggingface.co.",
)
