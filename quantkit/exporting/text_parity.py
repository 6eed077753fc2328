"""Do an encoder and a decoder that writes token by token give the numbers of their source?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from quantkit.arrays import FloatArray, IntArray
from quantkit.errors import ParityError
from quantkit.exporting.parity import TOLERANCE, ParityCase, ParityReport
from quantkit.graph.artifact import model_files, read_info
from quantkit.runtime.encoder_decoder.network import ExportedNetwork, Network

#: Hypotheses for one clip, as in beam search.
BEAMS = 3
# Dozens of layers, on noise that no model was trained on.
_TOLERANCE = 10 * TOLERANCE


@dataclass(frozen=True)
class TextReference:
    """What the source makes of a clip and texts.

    Args:
        heard: what the encoder takes for the clip, such as (1, mel_bands, frames).
        tokens: (hypotheses, tokens).
        log_probs: (hypotheses, tokens, vocabulary).
        time_axis: of ``heard``.
    """

    heard: FloatArray
    tokens: IntArray
    log_probs: FloatArray
    time_axis: int = -1


def check_texts(
    references: Sequence[TextReference],
    path: Path,
    tolerance: float = _TOLERANCE,
    unit: str = "frames",
) -> ParityReport:
    """Compare an encoder and its decoder with their source on random clips and tokens.

    Each text is given at once, token by token with what the decoder remembers, and as one of
    several hypotheses for the same clip. The difference is ``|a - b| / max(1, |a|)`` of
    log-probabilities.

    Args:
        unit: what lengths of clips count.

    Raises:
        ParityError: a difference above ``tolerance``.
        ModelError: ``path`` does not load.
    """
    read_info(path)
    encoder, decoder = model_files(path)
    network = ExportedNetwork.load(encoder, decoder, threads=0)
    cases = tuple(_cases(references, network, unit))
    report = ParityReport(tolerance, cases)
    if not report.worst.difference <= tolerance:
        failed = sum(not case.difference <= tolerance for case in cases)
        raise ParityError(
            f"{path.name} differs from PyTorch in {failed} of {len(cases)} texts; the worst is "
            f"{report.worst.where}, beyond the tolerance of {tolerance:g}"
        )
    return report


def _cases(
    references: Sequence[TextReference], network: Network, unit: str
) -> Iterator[ParityCase]:
    for heard, group in _by_clip(references):
        encoded = network.encode(heard)
        for reference in group:
            length = heard.shape[reference.time_axis]
            tokens, expected = reference.tokens, reference.log_probs
            count = tokens.shape[1]
            at_once, _ = network.step(
                tokens, encoded, network.empty_memory(BEAMS), np.arange(count)
            )
            memory, steps = network.empty_memory(), []
            for token in tokens[0]:
                log_probs, memory = network.step(np.array([[token]]), encoded, memory)
                steps.append(log_probs[0, 0])
            text = f"a text of {count} tokens after {length} {unit}"
            for found, wanted, how in (
                (at_once, expected, "at once"),
                (np.stack(steps), expected[0], "token by token"),
            ):
                difference = float(np.max(np.abs(found - wanted) / np.maximum(1.0, np.abs(wanted))))
                where = f"{text}, {how}: off by {difference:.3g}"
                # NaN compares as false with anything; it is no agreement.
                finite = difference if np.isfinite(difference) else float("inf")
                yield ParityCase(len(found) if found.ndim == 3 else 1, length, finite, where)


def _by_clip(
    references: Sequence[TextReference],
) -> Iterator[tuple[FloatArray, Iterator[TextReference]]]:
    for _, group in groupby(references, key=lambda each: id(each.heard)):
        first, *others = group
        yield first.heard, iter((first, *others))
