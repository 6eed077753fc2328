"""The NumPy layout of the CMU 11-785 homeworks HW3P2 (phonemes) and HW4P2 (letters).

::

    train.npy                object array: one (frames, 40) array of log-mel features per clip
    train_transcripts.npy    object array: one transcript per clip
    dev.npy  dev_transcripts.npy  test.npy

A transcript is a string, or an array or list of tokens: characters, words, phoneme names, or
phoneme numbers. Characters are joined directly; longer tokens and numbers are joined with spaces.
Start, end and padding tokens (``<sos>``, ``[EOS]`` …) are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quantkit.audio.corpora.array_file import load_array
from quantkit.audio.decode import MAX_SECONDS
from quantkit.audio.utterance import Corpus, Utterance, usable_corpus
from quantkit.errors import CorpusError

SPLITS = ("train", "dev", "test")
#: Hop of the homeworks' features.
FRAMES_PER_SECOND = 100

_TRANSCRIPTS = ("transcripts", "labels")
_SPECIAL = ("sos", "eos", "pad", "s", "/s")
_SPECIAL_TOKENS = tuple(
    f"{opening}{name}{closing}" for name in _SPECIAL for opening, closing in ("<>", "[]")
)


def is_numpy_layout(folder: Path) -> bool:
    """Whether ``folder`` holds ``train.npy``, ``dev.npy`` or ``test.npy``."""
    return any((folder / f"{split}.npy").is_file() for split in SPLITS)


def load_numpy(folder: Path, splits: Iterable[str] = SPLITS) -> Corpus:
    """Read precomputed features, and transcripts if there are any.

    Args:
        folder: contains the files.
        splits: which of ``train``, ``dev`` and ``test`` to read; object arrays cannot be mapped,
            so each is held in memory as a whole.

    Clips that are not (frames, bands), have no frame, or are longer than the limit are skipped and
    listed in ``Corpus.skipped``.

    Raises:
        CorpusError: a file is damaged or malicious, the numbers of clips and transcripts differ,
            the clips have different numbers of bands, or no clip is usable.
    """
    utterances: list[Utterance] = []
    skipped: list[str] = []
    tokens_of: dict[str, list[list[str] | str | None]] = {}
    features_of: dict[str, Sequence[Any]] = {}
    for split in splits:
        path = folder / f"{split}.npy"
        if path.is_file():
            features_of[split] = _rows(load_array(path), path)
            tokens_of[split] = _transcripts(folder, split, len(features_of[split]))
    # One rule for the whole corpus: a clip of one-letter words must be joined like all others.
    separator = " " if _has_long_tokens(tokens_of.values()) else ""
    bands: dict[int, str] = {}
    for split, clips in features_of.items():
        for index, (clip, tokens) in enumerate(zip(clips, tokens_of[split], strict=True)):
            name = f"{split}.npy[{index}]"
            problem = _problem(clip)
            if problem is not None:
                skipped.append(f"{folder / name}: {problem}")
                continue
            bands.setdefault(clip.shape[1], name)
            utterances.append(
                Utterance(
                    path=None,
                    text=separator.join(tokens) if isinstance(tokens, list) else tokens,
                    split=split,
                    seconds=clip.shape[0] / FRAMES_PER_SECOND,
                    features=np.ascontiguousarray(clip, dtype=np.float32),
                    name=name,
                )
            )
    if len(bands) > 1:
        seen = ", ".join(f"{count} in {name}" for count, name in bands.items())
        raise CorpusError(f"{folder}: clips have different numbers of bands: {seen}")
    return usable_corpus(str(folder), utterances, skipped)


def _rows(array: np.ndarray[Any, Any], path: Path) -> Sequence[Any]:
    if array.ndim == 0:
        raise CorpusError(f"{path}: an array with one entry per clip is needed, not a single value")
    return [_numeric(row) for row in array]


def _numeric(entry: Any) -> Any:
    """Unbox the numbers that ``np.array(clips, dtype=object)`` makes of clips of equal length."""
    if isinstance(entry, np.ndarray) and entry.dtype == object and entry.ndim == 2:
        try:
            return entry.astype(np.float32)
        except (TypeError, ValueError):
            return entry
    return entry


def _problem(clip: Any) -> str | None:
    """Why an entry cannot be used as features; ``None`` if it can."""
    if not isinstance(clip, np.ndarray) or clip.ndim != 2 or clip.dtype.kind not in "fiu":
        kind = f"shape {clip.shape}" if isinstance(clip, np.ndarray) else type(clip).__name__
        return f"{kind} is not (frames, bands) of numbers"
    if 0 in clip.shape:
        return f"is empty: shape {clip.shape}"
    if clip.shape[0] > MAX_SECONDS * FRAMES_PER_SECOND:
        return f"lasts {clip.shape[0] / FRAMES_PER_SECOND:.0f} s; the limit is {MAX_SECONDS:g} s"
    return None if np.isfinite(clip).all() else "holds NaN or infinity"


def _transcripts(folder: Path, split: str, clips: int) -> list[list[str] | str | None]:
    paths = [folder / f"{split}_{ending}.npy" for ending in _TRANSCRIPTS]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return [None] * clips
    entries = _rows(load_array(path), path)
    if len(entries) != clips:
        raise CorpusError(f"{path} has {len(entries)} transcripts for the {clips} clips of {split}")
    return [_tokens(entry, f"{path}[{index}]") for index, entry in enumerate(entries)]


def _tokens(entry: Any, where: str) -> list[str] | str:
    """A string unchanged, or the tokens of a sequence, without special tokens."""
    if isinstance(entry, (str, bytes)):
        return _without_special(_as_text(entry, where))
    if not isinstance(entry, (list, np.ndarray)) or np.ndim(entry) > 1:
        raise CorpusError(f"{where}: a transcript must be a string or a list of tokens")
    tokens = [_as_text(token, where) for token in entry]
    if any(isinstance(token, (int, np.integer)) for token in entry):
        return " ".join(tokens)
    return [token for token in tokens if token.lower() not in _SPECIAL_TOKENS]


def _as_text(token: Any, where: str) -> str:
    if isinstance(token, str):
        return str(token)
    if isinstance(token, bytes):
        try:
            return token.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CorpusError(f"{where}: {token!r} is not UTF-8") from error
    if isinstance(token, (int, np.integer)):
        return str(int(token))
    raise CorpusError(f"{where}: {token!r} is neither a string nor a whole number")


def _without_special(text: str) -> str:
    trimmed = text.strip()
    for token in _SPECIAL_TOKENS:
        if trimmed.lower().startswith(token):
            trimmed = trimmed[len(token) :].lstrip()
        if trimmed.lower().endswith(token):
            trimmed = trimmed[: -len(token)].rstrip()
    return trimmed


def _has_long_tokens(transcripts: Iterable[Iterable[list[str] | str | None]]) -> bool:
    return any(
        len(token) > 1
        for split in transcripts
        for tokens in split
        if isinstance(tokens, list)
        for token in tokens
    )
