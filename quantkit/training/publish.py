"""Turn the best checkpoint of a run into one to ship: half the bytes, with name and licence."""

from __future__ import annotations

from pathlib import Path

import click
import torch

from quantkit.models.checkpoint import load_wav2letter, save_wav2letter


def publish(source: Path, destination: Path, name: str, licence: str) -> None:
    """Write the checkpoint ``source`` to ``destination`` in float16.

    The weights have far fewer meaningful bits than float16's eleven; the parity of outputs is
    measured when the checkpoint is exported and scored.

    Raises:
        CheckpointError: ``source`` is no checkpoint.
        InputError: a weight is beyond float16.
        OutputError: ``destination`` cannot be written.
    """
    model, labels, frontend, card = load_wav2letter(source)
    kept = {k: v for k, v in card.items() if k not in ("name", "licence")}
    save_wav2letter(
        destination,
        model,
        labels,
        frontend,
        {"name": name, "licence": licence, **kept},
        dtype=torch.float16,
    )


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--licence", required=True, help="SPDX identifier of the weights' licence.")
def main(source: Path, destination: Path, licence: str) -> None:
    """Write SOURCE's weights to DESTINATION as a checkpoint to ship."""
    publish(source, destination, destination.resolve().name, licence)


if __name__ == "__main__":
    main()
