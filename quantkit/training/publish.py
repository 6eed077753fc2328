"""Publish the best checkpoint of a run: in float16, with name and licence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import torch

from quantkit.errors import CheckpointError, QuantkitError
from quantkit.models.checkpoint import load_wav2letter, save_wav2letter
from quantkit.training.keywords.checkpoint import is_spotter, load_spotter, save_spotter
from quantkit.training.saved_model import CARD_NAME
from quantkit.training.transducers.checkpoint import (
    is_saved_transducer,
    load_trained_transducer,
    save_trained_transducer,
)
from quantkit.training.wav2vec2.checkpoint import is_saved_wav2vec2, load_wav2vec2, save_wav2vec2


def publish(source: Path, destination: Path, name: str, licence: str) -> None:
    """Write the checkpoint ``source``, of any kind, to ``destination`` in float16.

    The weights have far fewer meaningful bits than float16's eleven; the parity of outputs is
    measured when the checkpoint is exported and scored.

    Raises:
        CheckpointError: ``source`` is not a checkpoint.
        InputError: a weight is beyond float16.
        OutputError: ``destination`` cannot be written.
    """
    if is_saved_transducer(source):
        saved = load_trained_transducer(source)
        card = _signed(saved.card, name, licence)
        save_trained_transducer(
            destination, saved.model, saved.labels, saved.frontend, card, dtype=torch.float16
        )
        return
    if is_saved_wav2vec2(source):
        taught = load_wav2vec2(source)
        card = _signed(taught.card, name, licence)
        save_wav2vec2(
            destination, taught.model, taught.labels, taught.sample_rate, card, dtype=torch.float16
        )
        return
    if is_spotter(source):
        spotter = load_spotter(source)
        card = _signed(spotter.card, name, licence)
        save_spotter(destination, spotter.model, spotter.sample_rate, card, dtype=torch.float16)
        return
    if (source / CARD_NAME).is_file():
        raise CheckpointError(f"{source / CARD_NAME} is damaged, or of another kind of model")
    model, labels, frontend, found = load_wav2letter(source)
    card = _signed(found, name, licence)
    save_wav2letter(destination, model, labels, frontend, card, dtype=torch.float16)


def _signed(card: dict[str, Any], name: str, licence: str) -> dict[str, Any]:
    kept = {k: v for k, v in card.items() if k not in ("name", "licence")}
    return {"name": name, "licence": licence, **kept}


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--licence", required=True, help="SPDX identifier of the weights' licence.")
def main(source: Path, destination: Path, licence: str) -> None:
    """Write SOURCE's weights to DESTINATION as a checkpoint to ship."""
    try:
        publish(source, destination, destination.resolve().name, licence)
    except QuantkitError as error:
        raise click.UsageError(str(error)) from error


if __name__ == "__main__":
    main()
