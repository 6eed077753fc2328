"""Beam search with an n-gram language model (ARPA), over labels or over words.

The unigrams of the file determine which. If each of them is a label, or a name for the space
(``|``, ``▁``, ``<space>``), the model scores labels and the search can write any word. Otherwise
its unigrams are the vocabulary, and the search follows a trie of their spellings.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quantkit.arrays import FloatArray
from quantkit.errors import InputError, MissingDependencyError
from quantkit.reading import require_regular
from quantkit.text.flashlight_search import BEAM_THRESHOLD, flashlight, free_search
from quantkit.text.labels import Labels

_SPACE_NAMES = ("|", "▁", "<space>")
_MARKERS = frozenset({"<s>", "</s>", "<unk>", "<UNK>"})

# Marks labels unknown to the language model, such as the blank.
_UNKNOWN = "<unk>"

# KenLM returns logarithms to base 10, acoustic scores are natural logarithms.
_TO_NATURAL = math.log(10.0)

# A word outside the vocabulary is never written.
_NO_UNKNOWN = -1


def language_model_decoder(
    labels: Labels, path: Path, width: int, lm_weight: float, word_score: float
) -> Callable[[FloatArray], str]:
    """A search over contiguous float32 (frames, labels) log-probabilities with frames > 0.

    Raises:
        InputError: the file is missing, is not an ARPA file, or has no word or label in common with
            ``labels``.
        MissingDependencyError: flashlight-text was built without KenLM.
    """
    vocabulary = arpa_vocabulary(path)
    names = _label_names(labels, vocabulary)
    if all(entry in names for entry in vocabulary):
        model = _kenlm(path, names)
        return free_search(labels, width, model, lm_weight * _TO_NATURAL)
    return _word_search(labels, path, vocabulary, width, lm_weight, word_score)


def arpa_vocabulary(path: Path) -> list[str]:
    r"""The unigrams of an ARPA file, without sentence and unknown markers, in file order.

    Raises:
        InputError: the file cannot be read, or has no ``\1-grams:`` section.
    """
    found: list[str] = []
    inside = False
    try:
        require_regular(path)
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                line = line.strip()
                if line == "\\1-grams:":
                    inside = True
                elif inside and line.startswith("\\"):
                    break
                elif inside and line:
                    found.append(line.split()[1])
    except OSError as error:
        raise InputError(f"cannot read language model {path}: {error.strerror}") from error
    except (UnicodeDecodeError, IndexError) as error:
        raise InputError(f"language model {path} is not an ARPA text file") from error
    vocabulary = [entry for entry in found if entry not in _MARKERS]
    if not vocabulary:
        raise InputError(f"language model {path} is not an ARPA text file: it lists no unigrams")
    return vocabulary


def _label_names(labels: Labels, vocabulary: list[str]) -> list[str]:
    """The language model's name of each label."""
    space = next((name for name in _SPACE_NAMES if name in vocabulary), _SPACE_NAMES[0])
    names = [space if token == " " else token for token in labels.tokens]
    names[labels.blank] = _UNKNOWN
    return names


def _word_search(
    labels: Labels,
    path: Path,
    vocabulary: list[str],
    width: int,
    lm_weight: float,
    word_score: float,
) -> Callable[[FloatArray], str]:
    if labels.separator or " " not in labels.tokens:
        raise InputError(
            f"language model {path} is over words, but the labels have no space to "
            "separate words; use a model over labels"
        )
    space = labels.tokens.index(" ")
    words = [word for word in vocabulary if labels.covers(word)]
    if not words:
        raise InputError(f"language model {path}: none of its words can be spelt with the labels")
    library = flashlight()
    model = _kenlm(path, words)
    trie = library.Trie(len(labels), space)
    start = model.start(False)
    for index, word in enumerate(words):
        _, score = model.score(start, index)
        trie.insert(labels.encode(word), index, score)
    trie.smear(library.SmearingMode.MAX)
    search = library.LexiconDecoder(
        library.LexiconDecoderOptions(
            beam_size=width,
            beam_size_token=len(labels),
            beam_threshold=BEAM_THRESHOLD,
            lm_weight=lm_weight * _TO_NATURAL,
            word_score=word_score,
            unk_score=-math.inf,
            sil_score=0.0,
            log_add=True,
            criterion_type=library.CriterionType.CTC,
        ),
        trie,
        model,
        space,
        labels.blank,
        _NO_UNKNOWN,
        [],
        False,
    )

    def run(log_probs: FloatArray) -> str:
        results = search.decode(log_probs.ctypes.data, *log_probs.shape)
        if not results:
            return ""
        return " ".join(words[i] for i in results[0].words if i >= 0)

    return run


def _kenlm(path: Path, entries: list[str]) -> Any:
    """The KenLM model in ``path``, with ``entries[i]`` as token ``i``."""
    try:
        from flashlight.lib.text.decoder.kenlm import KenLM
        from flashlight.lib.text.dictionary import Dictionary
    except ImportError as error:
        raise MissingDependencyError(
            "language models need flashlight-text with KenLM, which its wheels include: "
            "pip install --force-reinstall flashlight-text"
        ) from error
    try:
        with _silenced_stderr():
            return KenLM(str(path), Dictionary(entries))
    # KenLM's C++ exceptions become RuntimeError or ValueError.
    except Exception as error:
        # "<source file> in <function> threw <reason>".
        reason = " ".join(str(error).rpartition(" threw ")[2].split())
        raise InputError(f"language model {path} cannot be loaded: {reason}") from error


@contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Hide KenLM's progress bar, which C++ writes to file descriptor 2."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
