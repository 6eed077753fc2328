"""A plain folder of audio files, at any depth, without transcripts."""

from __future__ import annotations

from pathlib import Path

from quantkit.audio.corpora.files import clip_name, clip_problem, is_audio, walk_files
from quantkit.audio.decode import MAX_SECONDS
from quantkit.audio.utterance import Corpus, Utterance, usable_corpus
from quantkit.printable import printable


def load_plain(folder: Path, max_seconds: float = MAX_SECONDS) -> Corpus:
    """Every file of audio below ``folder``, sorted by path.

    No list says which files are usable, so each header is read. Unusable files, and those whose
    decoder is not installed, are skipped and listed in ``Corpus.skipped``.

    Raises:
        CorpusError: there is no audio file, or none is usable.
    """
    root = folder.resolve()
    utterances: list[Utterance] = []
    skipped: list[str] = []
    for path in filter(is_audio, walk_files(folder, skipped=skipped)):
        problem = clip_problem(folder, root, path.relative_to(folder).as_posix())
        if problem is not None:
            skipped.append(f"{printable(path)}: {problem}")
        else:
            utterances.append(Utterance(path=path, name=clip_name(folder, path)))
    return usable_corpus(str(folder), utterances, skipped).screened(max_seconds)
