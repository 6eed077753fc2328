"""Open an artifact as what its metadata say that it is."""

from __future__ import annotations

from pathlib import Path

from quantkit.errors import ModelError
from quantkit.graph.artifact import read_info
from quantkit.runtime.classifier import Classifier
from quantkit.runtime.recognizer import Recognizer
from quantkit.runtime.speech_model import SpeechModel
from quantkit.runtime.whisper.model import WhisperModel
from quantkit.text.decoding import Decoding

#: What the metadata of an artifact may name as its task.
TASKS = ("ctc", "classification", "whisper")


def open_speech_model(
    path: Path,
    threads: int = 1,
    *,
    check: bool = True,
    decoding: Decoding | None = None,
) -> SpeechModel:
    """The artifact at ``path``, ready to run.

    Args:
        threads: inside one operator; 0 takes all cores.
        check: compare it with its checksum first; see :func:`~quantkit.graph.artifact.read_info`.
        decoding: how outputs become text.

    Raises:
        ModelError: the file is damaged, does not load, or is no artifact of a known task.
    """
    info = read_info(path, check=check)
    if info.task not in ("", *TASKS):
        raise ModelError(
            f"{path} is a {info.task!r} model; known tasks: {', '.join(TASKS)}. Make it anew with "
            "`quantkit export`"
        )
    if info.task == "whisper":
        return WhisperModel.load(path, threads, check=False, decoding=decoding)
    if info.task == "classification":
        return Classifier.load(path, threads, check=False)
    return Recognizer.load(path, threads, check=False, decoding=decoding)
