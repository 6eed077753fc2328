"""The tokens that a decoder writes, from the files beside it."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from quantkit.disk.reading import read_bytes
from quantkit.errors import InputError
from quantkit.text.byte_labels import spelled
from quantkit.text.label_files.folders import table_of
from quantkit.text.label_files.meaning import labels_of_table
from quantkit.text.label_files.table import LabelTable
from quantkit.text.labels import Labels

TOKENIZER, TOKENS_TXT = "tokenizer.json", "tokens.txt"
_END = "</s>"
# Ids and bytes of a token in each line; a token may be the end of a line itself.
_TOKEN_LINE = re.compile(rb"(.*?)\t(\d+)\r?\n", re.DOTALL)
# The bytes of a token in base64 and its id, as sherpa-onnx reads them.
_BASE64_LINE = re.compile(rb"([A-Za-z0-9+/]*={0,2}) (\d+)")
_ESCAPED = re.compile(rb"\\x([0-9a-fA-F]{2})")


def token_labels(folder: Path, outputs: int, end: object = None) -> Labels:
    """What the tokens write; the end of the text stands in the place of the blank.

    Outputs beyond the vocabulary write nothing.

    Args:
        outputs: of the decoder.
        end: number of the token behind a text; None: that of ``</s>``.

    Raises:
        InputError: there is no vocabulary, or it is of another model.
    """
    for name in (TOKENIZER, TOKENS_TXT):
        path = folder / name
        if path.is_file():
            table = table_of(path) if name == TOKENIZER else _table_of_tokens(path)
            break
    else:
        raise InputError(f"{folder} has no {TOKENIZER} or {TOKENS_TXT}, which says what tokens are")
    place = table.names.index(_END) if end is None and _END in table.names else end
    if len(table.names) > outputs or type(place) is not int or not 0 <= place < len(table.names):
        raise InputError(
            f"{path} has {len(table.names)} tokens, and the model writes {outputs}: they are of "
            "different models"
        )
    padding = tuple(f"<unused {number}>" for number in range(len(table.names), outputs))
    names = (*table.names, *padding)
    # A character may be a token and a byte.
    table = LabelTable(
        names, table.origin, silent=table.silent | {*padding}, spelling="sentencepiece", alike=True
    )
    return labels_of_table(table, outputs, place)


def _table_of_tokens(path: Path) -> LabelTable:
    """``token<TAB>id`` in lines; tokens of one byte are that byte, or ``\\xNN``.

    Or, as in folders of sherpa-onnx, the token's bytes in base64, a space and the id.
    """
    content = read_bytes(path)
    lines = [_BASE64_LINE.fullmatch(line) for line in content.splitlines()]
    matches = [match for match in lines if match]
    if matches and len(matches) == len(lines):
        pairs = [(int(match[2]), _of_base64(match[1], path)) for match in matches]
    else:
        pairs = [(int(number), _spelt(token)) for token, number in _TOKEN_LINE.findall(content)]
    if [number for number, _ in pairs] != [*range(len(pairs))]:
        raise InputError(f"{path}: its lines are not `token<TAB>id`, from id 0 on")
    return LabelTable(tuple(token for _, token in pairs), str(path))


def _of_base64(token: bytes, path: Path) -> str:
    try:
        return spelled(base64.b64decode(token, validate=True))
    except ValueError as error:
        raise InputError(f"{path}: {token.decode()!r:.60} is no base64") from error


def _spelt(token: bytes) -> str:
    if escaped := _ESCAPED.fullmatch(token):
        return f"<0x{escaped[1].decode().upper()}>"
    if len(token) == 1 and not 0x21 <= token[0] <= 0x7E:
        return f"<0x{token[0]:02X}>"
    return token.decode("utf-8", "replace")
