"""An artifact of an encoder and a decoder beside the folder that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.errors import ParityError
from quantkit.exporting.parity import TOLERANCE, ParityCase, ParityReport
from quantkit.graph.artifact import model_files
from quantkit.runtime.encoder_decoder.network import ExportedNetwork, Network

_TEXT = (5, 300, 17, 1_000, 42, 7)
# Dozens of layers, on noise that no model was trained on.
_TOLERANCE = 10 * TOLERANCE
# Of a model that others quantized: what differs in the last digit may be rounded to another level,
# in each layer and for each token, whose keys and values the next ones attend to.
_TOLERANCE_ON_A_GRID = 0.5


def compared(
    original: Network,
    clips: Sequence[tuple[str, FloatArray]],
    vocabulary: int,
    path: Path,
    *,
    on_a_grid: bool = False,
) -> ParityReport:
    """Does the artifact say what the folder's own files say, on noise and a text of any tokens?

    The text is read token by token, as it is written, and at once, as models are compared. Of files
    that others quantized it is not read at once: all tokens would share a range then.

    Args:
        original: that runs the folder's files.
        clips: what the encoder takes, each with what it is in words.
        vocabulary: tokens that may be read.
        path: of the artifact.
        on_a_grid: whether others quantized the folder's files.

    Raises:
        ParityError: it does not.
    """
    tolerance = _TOLERANCE_ON_A_GRID if on_a_grid else _TOLERANCE
    encoder, decoder = model_files(path)
    network = ExportedNetwork.load(encoder, decoder, threads=0)
    cases = []
    for clip, heard in clips:
        ours, theirs = network.encode(heard), original.encode(heard)
        memory, kept = network.empty_memory(), original.empty_memory()
        text = np.array([[token % vocabulary for token in _TEXT]])
        at_once, _ = network.step(text, ours, memory, np.arange(text.size))
        for place in range(text.size):
            tokens = text[:, place : place + 1]
            found, memory = network.step(tokens, ours, memory)
            expected, kept = original.step(tokens, theirs, kept)
            both = found
            if not on_a_grid:
                both = np.concatenate((found, at_once[:, place : place + 1]))
            off = np.abs(both - expected) / np.maximum(1.0, np.abs(expected))
            worst = float(off.max()) if np.isfinite(off).all() else float("inf")
            where = f"token {place + 1} after {clip}: off by {worst:.3g}"
            cases.append(ParityCase(1, heard.shape[-1], worst, where))
    report = ParityReport(tolerance, tuple(cases), "the original")
    if not report.worst.difference <= tolerance:
        raise ParityError(
            f"{path.name} differs from the folder's own files: {report.worst.where}, beyond the "
            f"tolerance of {tolerance:g}"
        )
    return report
