"""Beam search with an n-gram language model (ARPA), over labels or over words.

The unigrams of the file determine which. If each of them is a label, or a name for the space
(``|``, ``▁``, ``<space>``), the model scores labels and the search can write any word. Otherwise
its unigrams are the vocabulary, and the search follows a trie of their spellings. A model in
another case than the labels, or with other apostrophes, is read in theirs.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quantkit.arrays import FloatArray
from quantkit.disk.reading import require_regular
from quantkit.errors import InputError, MissingDependencyError
from quantkit.text.flashlight_search import BEAM_THRESHOLD, flashlight, free_search
from quantkit.text.labels import Labels
from quantkit.text.normalize import normalized

_LOG = logging.getLogger(__name__)

_SPACE_NAMES = ("|", "▁", "<space>")
_MARKERS = frozenset({"<s>", "</s>", "<unk>", "<UNK>"})

# KenLM returns logarithms to base 10, acoustic scores are natural logarithms.
_TO_NATURAL = math.log(10.0)

# Words of one spelling that flashlight's trie holds, such as those that differ in case.
_MOST_HOMOGRAPHS = 6

# A word outside the vocabulary is never written.
_NO_UNKNOWN = -1


def language_model_decoder(
    labels: Labels, path: Path, width: int, lm_weight: float, word_score: float
) -> Callable[[FloatArray], list[int]]:
    """A search over contiguous float32 (frames, labels) log-probabilities with frames > 0.

    Raises:
        InputError: the file is missing, is not an ARPA file, is over words where the labels are
            pieces or phonemes, or has less than half of its words in the letters of ``labels``.
        MissingDependencyError: flashlight-text was built without KenLM.
    """
    vocabulary = arpa_vocabulary(path)
    names = _entries_of_labels(labels, vocabulary)
    if {*vocabulary} <= {*names}:
        _warn_of_unknown(labels, names, path)
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


def _entries_of_labels(labels: Labels, vocabulary: list[str]) -> list[str]:
    """The language model's entry for each label, whatever its case."""
    space = next((name for name in _SPACE_NAMES if name in vocabulary), _SPACE_NAMES[0])
    known = {*vocabulary}
    folded = {normalized(entry, labels): entry for entry in reversed(vocabulary)}
    names = [_unknown(index) for index in range(len(labels))]
    for token, index in labels.written.items():
        # Files of language models cannot hold spaces; pieces have SentencePiece's mark for them.
        name = space if token == " " else token.replace(" ", "▁")
        if name in known:
            names[index] = name
        elif token in folded and not labels.are_pieces:
            names[index] = folded[token]
    return names


def _unknown(index: int) -> str:
    """A name that no language model has; every label needs one of its own."""
    return f"<unk {index}>"


def _warn_of_unknown(labels: Labels, names: list[str], path: Path) -> None:
    lacking = [token for token, index in labels.written.items() if names[index] == _unknown(index)]
    if lacking:
        _LOG.warning(
            "language model %s does not know %d of the labels, such as %r, and scores them as "
            "unknown",
            path,
            len(lacking),
            lacking[0],
        )


def _spellings(labels: Labels, path: Path, vocabulary: list[str]) -> dict[str, str]:
    """Each word of the model that the labels can write, and how they write it.

    Raises:
        InputError: they can write less than half of the words.
    """
    found: dict[str, str] = {}
    lacking: list[str] = []
    for word in vocabulary:
        spelling = word if labels.covers(word) else normalized(word, labels)
        if spelling and " " not in spelling and labels.covers(spelling):
            found[word] = spelling
        else:
            lacking.append(word)
    if not found:
        raise InputError(f"language model {path}: none of its words can be spelt with the labels")
    if len(found) < len(lacking):
        raise InputError(
            f"language model {path}: only {len(found)} of its {len(vocabulary)} words can be spelt "
            f"with the labels, and {lacking[0]!r} cannot; it is for another alphabet"
        )
    if lacking:
        _LOG.warning(
            "%d of the %d words of language model %s cannot be spelt with the labels, such as %r, "
            "and are never written",
            len(lacking),
            len(vocabulary),
            path,
            lacking[0],
        )
    return found


def _word_search(
    labels: Labels,
    path: Path,
    vocabulary: list[str],
    width: int,
    lm_weight: float,
    word_score: float,
) -> Callable[[FloatArray], list[int]]:
    if labels.are_pieces:
        raise InputError(
            f"language model {path} is over words, but the labels are pieces of words; use a model "
            "over these pieces"
        )
    if labels.separator or " " not in labels.written:
        raise InputError(
            f"language model {path} is over words, but the labels have no space to "
            "separate words; use a model over labels"
        )
    space = labels.written[" "]
    spellings = _spellings(labels, path, vocabulary)
    words = [*spellings]
    library = flashlight()
    model = _kenlm(path, words)
    trie = library.Trie(len(labels), space)
    start = model.start(False)
    scored: dict[str, list[tuple[float, int]]] = {}
    for index, spelling in enumerate(spellings.values()):
        _, score = model.score(start, index)
        scored.setdefault(spelling, []).append((score, index))
    for spelling, homographs in scored.items():
        for score, index in sorted(homographs, reverse=True)[:_MOST_HOMOGRAPHS]:
            trie.insert(labels.encode(spelling), index, score)
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

    def run(log_probs: FloatArray) -> list[int]:
        results = search.decode(log_probs.ctypes.data, *log_probs.shape)
        if not results:
            return []
        return labels.encode(" ".join(spellings[words[i]] for i in results[0].words if i >= 0))

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
