"""Per-frame label log-probabilities → text."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.errors import InputError, MissingDependencyError
from quantkit.text.asg import best_path
from quantkit.text.asg_beam import asg_beam_search
from quantkit.text.decoding import DEFAULT_WIDTH, Decoding
from quantkit.text.flashlight_search import collapsed, flashlight, free_search, spaced
from quantkit.text.labels import Labels
from quantkit.text.language_model import language_model_decoder
from quantkit.text.prefix_beam import prefix_beam_search

#: Names that :func:`decoder_named` knows.
DECODERS = ("greedy", "beam", "ctcdecode")


#: From contiguous float32 (frames, labels) with frames > 0 to labels, without blanks and repeats.
Search = Callable[[FloatArray], list[int]]


class Decoder:
    """Turns the (frames, labels) natural log-probabilities of one clip into text.

    Args:
        labels: the alphabet of the log-probabilities.
        search: finds the labels of the text.
    """

    def __init__(self, labels: Labels, search: Search) -> None:
        self.labels = labels
        self._search = search

    def __call__(self, log_probs: FloatArray) -> str:
        """The text of one clip.

        Raises:
            InputError: an array of another shape, or with NaN.
        """
        return spaced(self.labels, self.labels_of(log_probs))

    def labels_of(self, log_probs: FloatArray) -> list[int]:
        """The labels that write the text of one clip; see :meth:`__call__`."""
        checked = _checked(log_probs, self.labels)
        return self._search(checked) if len(checked) else []


def decoder_named(
    name: str,
    labels: Labels,
    *,
    width: int = DEFAULT_WIDTH,
    language_model: Path | None = None,
    lm_weight: float = 1.0,
    word_score: float = 0.0,
) -> Decoder:
    """The decoder called ``greedy``, ``beam`` or ``ctcdecode``.

    Raises:
        InputError: no such name, a language model for ``greedy``, or bad settings.
        MissingDependencyError: the decoder's library is not installed.
    """
    if name == "greedy":
        if language_model is not None:
            raise InputError("the greedy decoder takes no language model; use the beam decoder")
        return greedy_decoder(labels)
    makers: dict[str, Callable[..., Decoder]] = {
        "beam": beam_decoder,
        "ctcdecode": ctcdecode_decoder,
    }
    if name not in makers:
        raise InputError(f"there is no decoder {name!r}; choose one of {', '.join(DECODERS)}")
    return makers[name](
        labels,
        width=width,
        language_model=language_model,
        lm_weight=lm_weight,
        word_score=word_score,
    )


@lru_cache(maxsize=4)
def decoder_for(labels: Labels, decoding: Decoding) -> Decoder:
    """The decoder that ``decoding`` names; models of one alphabet share it and its language model.

    Raises:
        InputError, MissingDependencyError: see :func:`decoder_named`.
    """
    return decoder_named(
        decoding.decoder,
        labels,
        width=decoding.ctc_width,
        language_model=decoding.language_model,
        lm_weight=decoding.lm_weight,
        word_score=decoding.word_score,
    )


def greedy_decoder(labels: Labels) -> Decoder:
    """Best label of every frame, repeats collapsed, blanks removed (Graves et al., 2006).

    Where labels have transitions instead of a blank, the best path through all frames.

    >>> decode = greedy_decoder(Labels(("_", "a", "b")))
    >>> decode(np.log(np.array([[0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]])))
    'ab'
    """
    if labels.asg is not None:
        transitions = labels.asg.matrix
        return Decoder(labels, lambda rows: collapsed(best_path(rows, transitions), labels.blank))
    return Decoder(labels, lambda rows: collapsed(rows.argmax(axis=1).tolist(), labels.blank))


def beam_decoder(
    labels: Labels,
    width: int = DEFAULT_WIDTH,
    language_model: Path | None = None,
    lm_weight: float = 1.0,
    word_score: float = 0.0,
) -> Decoder:
    """CTC prefix beam search; the probabilities of all alignments of a text are added.

    It uses flashlight-text if that is installed. Otherwise, as on Python 3.13, for which there is
    no wheel, :mod:`quantkit.text.prefix_beam` finds the same text without a language model.

    Labels with transitions instead of a blank take no language model; see
    :mod:`quantkit.text.asg_beam`.

    With a language model (ARPA, :mod:`quantkit.text.language_model`) the score of a text is
    ``log P(text | audio) + lm_weight * log P(text) + word_score * words``. A model over labels
    scores every label; a model over words restricts the output to its vocabulary.

    Args:
        labels: the alphabet of the log-probabilities.
        width: hypotheses that are kept after every frame.
        language_model: an ARPA file of n-grams over labels or over words.
        lm_weight: weight of the language model's natural log-probability.
        word_score: bonus for every word; only with a model over words.

    Raises:
        InputError: ``width`` below 1, or a language model that does not fit the labels.
        MissingDependencyError: a language model is given, but flashlight-text or its KenLM part is
            not installed.
    """
    _check_width(width)
    if labels.asg is not None:
        if language_model is not None:
            raise InputError("a model trained with ASG takes no language model; decode without it")
        return Decoder(labels, asg_beam_search(labels.asg.matrix, width))
    if language_model is not None:
        flashlight()  # checked before the file, because it must be installed first
        search = language_model_decoder(labels, language_model, width, lm_weight, word_score)
    else:
        search = _search_without_language_model(labels, width)
    return Decoder(labels, search)


def ctcdecode_decoder(
    labels: Labels,
    width: int = DEFAULT_WIDTH,
    language_model: Path | None = None,
    lm_weight: float = 1.0,
    word_score: float = 0.0,
) -> Decoder:
    """Beam search of the ``ctcdecode`` package, for comparison with published results.

    Its language model is a KenLM file; ``lm_weight`` and ``word_score`` are its alpha and beta.

    Raises:
        InputError: ``width`` below 1.
        MissingDependencyError: ctcdecode, or PyTorch, which it needs, is not installed.
    """
    _check_width(width)
    if labels.asg is not None:
        raise InputError("ctcdecode is for CTC, and the model was trained with ASG; use beam")
    try:
        library = importlib.import_module("ctcdecode")
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise MissingDependencyError(
            "the decoder `ctcdecode` needs the package of that name (pip install ctcdecode) and "
            "PyTorch; the decoder `beam` needs neither"
        ) from error
    beam = library.CTCBeamDecoder(
        list(labels.tokens),
        model_path=None if language_model is None else str(language_model),
        alpha=lm_weight if language_model is not None else 0.0,
        beta=word_score if language_model is not None else 0.0,
        cutoff_top_n=len(labels),
        cutoff_prob=1.0,
        beam_width=width,
        num_processes=1,
        blank_id=labels.blank,
        log_probs_input=True,
    )

    def search(log_probs: FloatArray) -> list[int]:
        tokens, _, _, lengths = beam.decode(torch.from_numpy(log_probs[None].copy()))
        found: list[int] = tokens[0][0][: int(lengths[0][0])].tolist()
        return found

    return Decoder(labels, search)


def _search_without_language_model(labels: Labels, width: int) -> Search:
    try:
        library = flashlight()
    except MissingDependencyError:
        return prefix_beam_search(labels, width)
    return free_search(labels, width, library.ZeroLM(), 0.0)


def _check_width(width: int) -> None:
    if width < 1:
        raise InputError(f"the beam's width must be at least 1, not {width}")


def _checked(log_probs: FloatArray, labels: Labels) -> FloatArray:
    """The array as contiguous float32, after checking its shape and values."""
    if log_probs.ndim != 2 or log_probs.shape[1] != len(labels):
        raise InputError(
            f"log-probabilities of shape {log_probs.shape} do not fit {len(labels)} labels"
        )
    if np.isnan(log_probs).any():
        raise InputError("the model's log-probabilities contain NaN")
    return np.ascontiguousarray(log_probs, dtype=np.float32)
