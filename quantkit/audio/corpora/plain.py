"""A plain folder of audio files, at any depth, without transcripts."""

from __future__ import annotations

from pathlib import Path

from quantkit.audio.corpora.files import clip_problem, is_audio, walk_files
from quantkit.audio.decode import MAX_SECONDS
from quantkit.audio.utterance import Corpus, Utterance, usable_corpus


def load_plain(folder: Path, max_seconds: float = MAX_SECONDS) -> Corpus:
    """Every WAV, FLAC, Ogg, Opus and MP3 file below ``folder``, sorted by path.

    No list says which files are usable, so each header is read. Unusable files are skipped and
    listed in ``Corpus.skipped``.

    Raises:
        CorpusError: there is no audio file, or none is usable.
    """
    root = folder.resolve()
    utterances: list[Utterance] = []
    skipped: list[str] = []
    for path in filter(is_audio, walk_files(folder)):
        name = path.relative_to(folder).as_posix()
        problem = clip_problem(folder, root, name)
        if problem is not None:
            skipped.append(f"{path}: {problem}")
        else:
            utterances.append(Utterance(path=path, name=name))
    return usable_corpus(str(folder), utterances, skipped).screened(max_seconds)
