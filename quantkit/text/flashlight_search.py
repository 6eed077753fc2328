"""Parts of flashlight-text's CTC search, shared by the beam decoders."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from quantkit.arrays import FloatArray
from quantkit.errors import MissingDependencyError
from quantkit.text.labels import Labels

# Hypotheses this far (natural log) behind the best are dropped; wide enough that in practice only
# the beam width limits the search.
BEAM_THRESHOLD = 50.0

# "No such token": flashlight neither emits it nor gives it a silence score.
_NO_SILENCE = -1


def flashlight() -> Any:
    """The module ``flashlight.lib.text.decoder``.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return importlib.import_module("flashlight.lib.text.decoder")
    except ImportError as error:
        raise MissingDependencyError(
            "beam search with a language model needs flashlight-text, which has wheels up to "
            "Python 3.12: pip install flashlight-text, or decode without the language model"
        ) from error


def free_search(
    labels: Labels, width: int, language_model: Any, lm_weight: float
) -> Callable[[FloatArray], list[int]]:
    """Lexicon-free flashlight search over contiguous float32 (frames, labels), frames > 0.

    Args:
        language_model: a flashlight ``LM`` whose token indices are those of ``labels``.
        lm_weight: factor of that model's own score, whatever its logarithm's base.
    """
    library = flashlight()
    search = library.LexiconFreeDecoder(
        library.LexiconFreeDecoderOptions(
            beam_size=width,
            beam_size_token=len(labels),
            beam_threshold=BEAM_THRESHOLD,
            lm_weight=lm_weight,
            sil_score=0.0,
            log_add=True,
            criterion_type=library.CriterionType.CTC,
        ),
        language_model,
        # A real label here would count as a repeat in the first frame.
        _NO_SILENCE,
        labels.blank,
        [],
    )

    def run(log_probs: FloatArray) -> list[int]:
        results = search.decode(log_probs.ctypes.data, *log_probs.shape)
        return collapsed([i for i in results[0].tokens if i != _NO_SILENCE], labels.blank)

    return run


def collapsed(path: Sequence[int], blank: int) -> list[int]:
    """A frame-wise path without repeats, and then without blanks."""
    return [index for index, _ in groupby(path) if index != blank]


def spaced(labels: Labels, indices: Sequence[int]) -> str:
    """Text of collapsed labels, with exactly one space between words."""
    text = labels.decode(indices)
    return text if labels.separator else " ".join(part for part in text.split(" ") if part)
