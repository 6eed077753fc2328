"""Labels and tokens in the files of other programs."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from quantkit.disk.files import write_text
from quantkit.exporting.folders.sherpa_nemo_ctc import VOCABULARY
from quantkit.text.byte_labels import bytes_of, holds_bytes
from quantkit.text.labels import Labels
from quantkit.text.whisper_vocabulary import WhisperVocabulary

#: The file of sherpa-onnx.
TOKENS = VOCABULARY
#: What these programs call the blank.
BLANK = "<blk>"
_SPACE = "▁"


def why_no_lines(labels: Labels) -> str:
    """Why labels cannot stand one in a line; empty where they can."""
    if labels.asg is not None:
        return "its text follows by transitions between labels (ASG)"
    spelled = [*_spelled(labels)]
    if twice := next((name for name, times in Counter(spelled).items() if times > 1), ""):
        return f"two of its labels would be called {twice}"
    if any(not name or name != name.strip() or "\n" in name for name in spelled):
        return "a label has a line end or another white space in it"
    return ""


def write_lines(path: Path, labels: Labels) -> None:
    """``label id`` in each line, a space as ``▁`` and the blank as ``<blk>``."""
    lines = (f"{name} {number}\n" for number, name in enumerate(_spelled(labels)))
    write_text(path, "".join(lines))


def printed(labels: Labels) -> Iterator[str]:
    """What each label adds to a text, with what stands between labels before it."""
    for number, token in enumerate(labels.tokens):
        mute = number == labels.blank or number in labels.silent
        yield token if mute or not labels.separator else labels.separator + token


def _spelled(labels: Labels) -> Iterator[str]:
    for number, text in enumerate(printed(labels)):
        yield BLANK if number == labels.blank else text.replace(" ", _SPACE)


def write_base64(path: Path, labels: Labels) -> None:
    """The bytes of each token in base64 and its number, as sherpa-onnx reads Moonshine's."""
    names = (token.replace(" ", _SPACE) for token in labels.tokens)
    lines = (f"{_base64(bytes_of(name))} {number}\n" for number, name in enumerate(names))
    write_text(path, "".join(lines))


def write_whisper_base64(path: Path, vocabulary: WhisperVocabulary) -> None:
    """The same of the text tokens of a Whisper."""
    lines = (f"{_base64(piece)} {number}\n" for number, piece in enumerate(vocabulary.pieces))
    write_text(path, "".join(lines))


def has_bytes(labels: Labels) -> bool:
    """Whether a label stands for a byte."""
    return any(holds_bytes(token) for token in labels.tokens)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
