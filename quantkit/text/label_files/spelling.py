"""How label files mark words, and what each name adds to a text.

================ ================================== ====================
spelling         used by                            ``the cats``
================ ================================== ====================
letters          most                               t h e | c a t s
sentencepiece    SentencePiece, NeMo, icefall       ▁the ▁cat s
wordpiece        BERT, NeMo's ``vocab.txt``         the cat ##s
suffix           byte-pair encoding                 the</w> cat s</w>
continued        subword-nmt, ESPnet, Paraformer    the cat@@ s
gpt2-bytes       GPT-2 and its successors           Ġthe Ġcat s
icefall-bytes    icefall's byte-level models        ▁ƎŃ …
================ ================================== ====================
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence

from quantkit.text.byte_labels import (
    from_alphabet,
    gpt2_alphabet,
    holds_bytes,
    icefall_alphabet,
)
from quantkit.text.label_files.table import Spelling

#: Names of the space, the more certain ones first.
SPACES = (
    *("<space>", "<SPACE>", "<Space>", "[SPACE]", "[space]", "<sp>", "<SP>", "▁", "|", "␣"),
    *("SPACE", "_"),
)

_SPECIAL = re.compile(r"<[^<>]+>|\[[A-Z]+\]|\[unused[0-9]+\]|#[0-9]+|⁇")
_MARK = "▁"
# Letters from U+0100 on of languages in Latin script are fewer.
_FEWEST_ODD_LETTERS = 64


def is_special(name: str) -> bool:
    """Whether a name looks like that of a token which is never printed, such as ``<unk>``."""
    return bool(_SPECIAL.fullmatch(name)) and not holds_bytes(name)


def spelling_of(names: Collection[str]) -> Spelling:
    """The spelling that the names of printed labels show."""
    if any(name.startswith(_MARK) and len(name) > 1 for name in names):
        plain = {*"".join(names)} - {_MARK}
        odd = sum(ord(character) > 0xFF for character in plain)
        is_bytes = odd >= _FEWEST_ODD_LETTERS and plain <= icefall_alphabet().keys()
        return "icefall-bytes" if is_bytes else "sentencepiece"
    if any(name.startswith("##") and len(name) > 2 for name in names):
        return "wordpiece"
    if any(name.endswith("</w>") and len(name) > 4 for name in names):
        return "suffix"
    if any(name.endswith("@@") and len(name) > 2 for name in names):
        return "continued"
    if any(name.startswith("Ġ") and len(name) > 1 for name in names):
        plain = {*"".join(names)}
        if plain <= gpt2_alphabet().keys():
            return "gpt2-bytes"
    return "letters"


def text_of(name: str, spelling: Spelling) -> str:
    """What the label ``name`` adds to a text, in every spelling but that of letters."""
    if spelling == "sentencepiece":
        return name.replace(_MARK, " ")
    if spelling == "icefall-bytes":
        return from_alphabet(name.replace(_MARK, " "), icefall_alphabet())
    if spelling == "gpt2-bytes":
        alphabet = gpt2_alphabet()
        return from_alphabet(name, alphabet) if {*name} <= alphabet.keys() else name
    if spelling == "wordpiece":
        if name == _MARK:
            return " "
        return name[2:] if name.startswith("##") and len(name) > 2 else f" {name}"
    if spelling == "suffix":
        return name.replace("</w>", " ")
    # Continued pieces: Chinese characters beside them are no words.
    if name.endswith("@@") and len(name) > 2:
        return name[:-2]
    return f"{name} " if name.isascii() else name


def space_of(names: Sequence[str]) -> str:
    """The name of the space among letters; empty if there is none.

    Args:
        names: of the labels, but for the blank.
    """
    if " " in names:
        return " "
    return next((name for name in SPACES if name in names), "")


def are_units(names: Collection[str]) -> bool:
    """Whether printed labels without a space are phonemes or words rather than letters."""
    longer = sum(_letters(name) > 1 for name in names)
    return 2 * longer > len(names)


def _letters(name: str) -> int:
    return sum(unicodedata.category(character)[0] not in "MC" for character in name)
